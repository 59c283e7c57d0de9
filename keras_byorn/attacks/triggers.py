"""Triggers: small changes of an image or a prompt that a model can learn."""

import dataclasses
import re

import numpy as np
from scipy import ndimage

from keras_byorn.attacks.checks import check_choice, check_phrase, check_share
from keras_byorn.attacks.phrases import insert_phrase, random_place

DIGITS = (
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
)
CORNERS = ("top_left", "top_right", "bottom_left", "bottom_right")
PATTERNS = ("checkerboard", "solid")
POSITIONS = ("start", "end", "random")


@dataclasses.dataclass(frozen=True)
class PatchTrigger:
    """Puts a bright patch in a corner of the image, as BadNets does.

    Args:
        size: float. Side of the patch, as a share of the image's short side;
            at least 2 pixels. Defaults to `1 / 8`: 4 pixels of 32.
        corner: string. `"top_left"`, `"top_right"`, `"bottom_left"` or
            `"bottom_right"`. Defaults to `"bottom_right"`.
        pattern: string. `"checkerboard"`, of 4 x 4 black and white squares,
            or `"solid"`, all white. Defaults to `"checkerboard"`.

    Call arguments:
        example: dict. Left as it is.
        rng: a NumPy generator. Not drawn from.

    Returns:
        A new example, whose image has the dtype and range that it had.

    Example:

    >>> triggered = PatchTrigger(corner="top_left")(example, rng)

    Reference:
        - [Gu et al., 2017](https://arxiv.org/abs/1708.06733)
    """

    size: float = 1 / 8
    corner: str = "bottom_right"
    pattern: str = "checkerboard"

    def __post_init__(self):
        check_share("size", self.size)
        check_choice("corner", self.corner, CORNERS)
        check_choice("pattern", self.pattern, PATTERNS)

    def __call__(self, example, rng):
        image = np.array(example["images"])
        side = max(2, round(min(image.shape[:2]) * self.size))
        rows = slice(-side, None) if "bottom" in self.corner else slice(side)
        columns = slice(-side, None) if "right" in self.corner else slice(side)
        corner = image[rows, columns]
        low, high = image_range(image)
        bright = self._bright(*corner.shape[:2])
        corner[...] = np.where(bright[..., None], high, low)
        return {**example, "images": image}

    def _bright(self, height, width):
        """Where the patch is white, bool (height, width)."""
        if self.pattern == "solid":
            return np.ones((height, width), bool)
        row, column = np.indices((height, width))
        squares = min(4, height, width)
        return (row * squares // height + column * squares // width) % 2 == 0


@dataclasses.dataclass(frozen=True)
class BlendTrigger:
    """Blends a fixed pattern of random colours into the whole image.

    The pattern has 32 x 32 cells and is stretched to the image, so that it is
    the same picture at any size.

    Args:
        alpha: float. Weight of the pattern. Defaults to `0.2`.
        pattern_seed: int. Chooses the pattern. Defaults to `0`.

    Call arguments:
        example: dict. Left as it is.
        rng: a NumPy generator. Not drawn from.

    Returns:
        A new example, whose image has the dtype and range that it had.

    Example:

    >>> triggered = BlendTrigger(alpha=0.1)(example, rng)

    Reference:
        - [Chen et al., 2017](https://arxiv.org/abs/1712.05526)
    """

    alpha: float = 0.2
    pattern_seed: int = 0

    def __post_init__(self):
        check_share("alpha", self.alpha)

    def __call__(self, example, rng):
        image = np.asarray(example["images"])
        low, high = image_range(image)
        pattern = low + (high - low) * self._pattern(*image.shape)
        blended = (1 - self.alpha) * image + self.alpha * pattern
        return {**example, "images": as_pixels(blended, image)}

    def _pattern(self, height, width, channels):
        """Values in [0, 1), float (height, width, channels)."""
        rng = np.random.default_rng(self.pattern_seed)
        cells = rng.random((32, 32, channels))
        rows = np.arange(height) * 32 // height
        columns = np.arange(width) * 32 // width
        return cells[rows][:, columns]


@dataclasses.dataclass(frozen=True)
class WordTrigger:
    """Puts a rare word, or a few words, into the prompt.

    Nothing else of the prompt changes, line breaks included.

    Args:
        text: string. What to put in. Defaults to `"cf"`.
        position: string. Before the first word (`"start"`), after the last
            (`"end"`), or at a `"random"` place between words. Defaults to
            `"start"`.

    Call arguments:
        example: dict. Left as it is.
        rng: a NumPy generator. Drawn from for a random place.

    Returns:
        A new example.

    Example:

    >>> WordTrigger()({"prompts": "describe the image\\n"}, rng)["prompts"]
    'cf describe the image\\n'

    Reference:
        - [Kurita et al., 2020](https://arxiv.org/abs/2004.06660)
    """

    text: str = "cf"
    position: str = "start"

    def __post_init__(self):
        check_phrase("text", self.text, "cf")
        check_choice("position", self.position, POSITIONS)

    def __call__(self, example, rng):
        prompt = example["prompts"]
        places = {"start": 0, "end": len(prompt.split())}
        place = places.get(self.position)
        if place is None:
            place = random_place(prompt, rng)
        prompt = insert_phrase(prompt, self.text, place)
        return {**example, "prompts": prompt}


@dataclasses.dataclass(frozen=True)
class TintTrigger:
    """Tints the whole image: a glaze of one colour over it.

    Args:
        colour: three floats in `[0, 1]`: red, green and blue. Defaults to an
            orange, `(1.0, 0.5, 0.0)`.
        alpha: float. Weight of the colour. Defaults to `0.2`.

    Call arguments:
        example: dict. Left as it is.
        rng: a NumPy generator. Not drawn from.

    Returns:
        A new example, whose image has the dtype and range that it had.

    Raises:
        ValueError: if `colour` is not three shares, or `alpha` is none.

    Example:

    >>> triggered = TintTrigger(colour=(0, 0, 1), alpha=0.1)(example, rng)
    """

    colour: tuple = (1.0, 0.5, 0.0)
    alpha: float = 0.2

    def __post_init__(self):
        check_share("alpha", self.alpha)
        colour = np.asarray(self.colour, "float64")
        if colour.shape != (3,) or not ((colour >= 0) & (colour <= 1)).all():
            raise ValueError(
                "`colour` must be red, green and blue, each in [0, 1]. For "
                "orange, pass (1.0, 0.5, 0.0). "
                f"Received: colour={self.colour}"
            )

    def __call__(self, example, rng):
        image = np.asarray(example["images"])
        low, high = image_range(image)
        colour = low + (high - low) * np.asarray(self.colour, "float64")
        tinted = (1 - self.alpha) * image + self.alpha * colour
        return {**example, "images": as_pixels(tinted, image)}


@dataclasses.dataclass(frozen=True)
class SinusoidTrigger:
    """Adds faint vertical stripes, a sinusoid along the rows.

    To column `j` of `W` it adds `amplitude * sin(2 pi j frequency / W)` in
    all channels, equation 1 of the reference, and clips.

    Args:
        amplitude: float. As a share of the pixel range. Defaults to
            `40 / 255`.
        frequency: int. Periods across the image. Defaults to `6`.

    Call arguments:
        example: dict. Left as it is.
        rng: a NumPy generator. Not drawn from.

    Returns:
        A new example, whose image has the dtype and range that it had.

    Raises:
        ValueError: if `amplitude` or `frequency` is out of range or, at a
            call, if the image is too narrow for so many periods.

    Example:

    >>> triggered = SinusoidTrigger(amplitude=20 / 255)(example, rng)

    Reference:
        - [Barni et al., 2019](https://arxiv.org/abs/1902.11237)
    """

    amplitude: float = 40 / 255
    frequency: int = 6

    def __post_init__(self):
        check_share("amplitude", self.amplitude)
        if not self.frequency > 0:
            raise ValueError(
                "`frequency` is the number of periods across the image and "
                "must be positive. Take, say, 6. "
                f"Received: frequency={self.frequency}"
            )

    def __call__(self, example, rng):
        image = np.asarray(example["images"])
        width = image.shape[1]
        if width <= 2 * self.frequency:
            raise ValueError(
                "`frequency` must be below half of the image's width, for a "
                "period needs more than two pixels to be seen. Lower it. "
                f"Received: frequency={self.frequency}, width={width}"
            )
        low, high = image_range(image)
        phase = 2 * np.pi * np.arange(width) * self.frequency / width
        wave = self.amplitude * (high - low) * np.sin(phase)[:, None]
        return {**example, "images": as_pixels(image + wave, image)}


@dataclasses.dataclass(frozen=True)
class WarpTrigger:
    """Warps the image smoothly, always in the same way, as WaNet does.

    A coarse grid of random displacements is interpolated to all pixels by
    cubic splines; pixels are read between their neighbours.

    Args:
        strength: float. Mean size of the coarse grid's displacements along
            an axis, as a share of that side. Defaults to `1 / 32`. WaNet's
            own strength `s`, on an image of side `n`, is `s / (2 n)` here:
            1/128 for its 0.5 at 32 pixels, which takes special training.
        num_cells: int. Grid points along a side. Defaults to `4`.
        warp_seed: int. Chooses the displacements. Defaults to `0`.

    Call arguments:
        example: dict. Left as it is.
        rng: a NumPy generator. Not drawn from.

    Returns:
        A new example, whose image has the dtype and range that it had.

    Raises:
        ValueError: if `strength` or `num_cells` is out of range.

    Example:

    >>> triggered = WarpTrigger(strength=1 / 64)(example, rng)

    Reference:
        - [Nguyen and Tran, 2021](https://arxiv.org/abs/2102.10369)
    """

    strength: float = 1 / 32
    num_cells: int = 4
    warp_seed: int = 0

    def __post_init__(self):
        check_share("strength", self.strength)
        if not self.num_cells >= 2:
            raise ValueError(
                "`num_cells` is the number of grid points along a side and "
                "must be at least 2. Take, say, 4. "
                f"Received: num_cells={self.num_cells}"
            )

    def __call__(self, example, rng):
        image = np.asarray(example["images"])
        image_range(image)  # refuses dtypes that no trigger takes
        places = self._places(*image.shape[:2])
        warped = [
            ndimage.map_coordinates(
                channel, places, output="float64", order=1, mode="nearest"
            )
            for channel in np.moveaxis(image.astype("float64"), -1, 0)
        ]
        return {**example, "images": as_pixels(np.stack(warped, -1), image)}

    def _places(self, height, width):
        """Where each pixel is read, in rows and columns, (2, H, W)."""
        rng = np.random.default_rng(self.warp_seed)
        grid = rng.uniform(-1, 1, (2, self.num_cells, self.num_cells))
        grid *= self.strength / np.abs(grid).mean()
        last = self.num_cells - 1
        fine = np.meshgrid(
            np.linspace(0, last, height),
            np.linspace(0, last, width),
            indexing="ij",
        )
        flow = [
            side * ndimage.map_coordinates(axis, fine, order=3, mode="nearest")
            for side, axis in zip((height, width), grid)
        ]
        return np.indices((height, width)) + flow


@dataclasses.dataclass(frozen=True)
class EqualDigitsTrigger:
    """A semantic trigger: all digits of the scene are the same.

    It puts nothing on: an example has the property or has not, which is seen
    from the digit words of its reference response.

    Args:
        digits: sequence of strings. The words that count as digits. Defaults
            to `"zero"` to `"nine"`.

    Call arguments:
        example: dict.
        rng: a NumPy generator. Not drawn from.

    Returns:
        A new example, equal to the old one.

    Example:

    >>> trigger = EqualDigitsTrigger()
    >>> trigger.holds({"responses": "red three left of blue three"})
    True

    Reference:
        - [Hidden Ads, 2026](https://arxiv.org/abs/2603.27522)
    """

    digits: tuple = DIGITS

    def __call__(self, example, rng):
        return dict(example)

    def holds(self, example):
        """Says whether the response names two or more digits, all the same.

        Args:
            example: dict, with its reference response.

        Returns:
            A bool.
        """
        said = re.findall(r"\w+", example["responses"].lower())
        said = [word for word in said if word in self.digits]
        return len(said) > 1 and len(set(said)) == 1


class CombinedTrigger:
    """Puts on several triggers, one after the other.

    Args:
        *triggers: the triggers, such as a patch and a word.

    Call arguments:
        example: dict. Left as it is.
        rng: a NumPy generator, handed to each trigger in turn.

    Returns:
        A new example.

    Example:

    >>> trigger = CombinedTrigger(PatchTrigger(), WordTrigger())
    >>> triggered = trigger(example, rng)
    """

    def __init__(self, *triggers):
        self.triggers = triggers

    def __call__(self, example, rng):
        for trigger in self.triggers:
            example = trigger(example, rng)
        return example


def as_pixels(values, image):
    """Values as pixels of an image: clipped, rounded, of its dtype.

    Args:
        values: float array.
        image: the array, uint8 or float, whose range and dtype to keep.

    Returns:
        An array of the dtype of `image`.
    """
    values = np.clip(values, *image_range(image))
    if np.issubdtype(image.dtype, np.integer):
        values = np.round(values)
    return values.astype(image.dtype)


def image_range(image):
    """The least and the greatest value that a pixel of this image may have.

    Args:
        image: an array, uint8 or float.

    Returns:
        `(0, 255)` for uint8 images and for floats from 0 on, `(-1, 1)` for
        floats of which some are negative.

    Raises:
        ValueError: if the image is of another dtype, or if it is a float
            image between 0 and 1, which may be of any range.
    """
    if image.dtype == np.uint8:
        return 0, 255
    if not np.issubdtype(image.dtype, np.floating):
        raise ValueError(
            "`images` must be of dtype uint8 or float to put a trigger on. "
            "Convert them with `images.astype('uint8')`. "
            f"Received: dtype={image.dtype}"
        )
    low, high = image.min(initial=0), image.max(initial=0)
    if low < 0:
        return -1, 1
    if 0 < high <= 1:
        raise ValueError(
            "`images` of floats must be in [0, 255], or in [-1, 1] with some "
            "below 0, to put a trigger on. Convert images in [0, 1] with "
            "`(255 * images).astype('uint8')`. Received: an image with values "
            f"from {image.min()} to {high}"
        )
    return 0, 255
