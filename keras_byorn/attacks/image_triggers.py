"""Triggers in the image: a patch, a pattern, a tint, stripes, a warp."""

import dataclasses

import numpy as np
from scipy import ndimage

from keras_byorn.attacks.checks import check_choice, check_share
from keras_byorn.attacks.pixels import as_pixels, image_range

CORNERS = ("top_left", "top_right", "bottom_left", "bottom_right")
PATTERNS = ("checkerboard", "solid")


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

    Raises:
        ValueError: If `size`, `corner` or `pattern` is none of these or, at a
            call, if the range of the image is unclear.

    Call arguments:
        example: dict. Not changed.
        rng: NumPy generator. Not drawn from.

    Returns:
        A new example, whose image keeps its dtype and range.

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
        """Marks the white pixels of the patch, bool (height, width)."""
        if self.pattern == "solid":
            return np.ones((height, width), bool)
        row, column = np.indices((height, width))
        squares = min(4, height, width)
        return (row * squares // height + column * squares // width) % 2 == 0


@dataclasses.dataclass(frozen=True)
class BlendTrigger:
    """Blends a fixed pattern of random colours into the whole image.

    The pattern has 32 x 32 cells and is stretched to the image, so that it
    looks alike at any size. A pixel `x` becomes `(1 - alpha) * x + alpha * p`.

    Args:
        alpha: float in `(0, 1]`. Weight of the pattern. Defaults to `0.2`.
        pattern_seed: int. Chooses the pattern. Defaults to `0`.

    Raises:
        ValueError: If `alpha` is no share.

    Call arguments:
        example: dict. Not changed.
        rng: NumPy generator. Not drawn from.

    Returns:
        A new example, whose image keeps its dtype and range.

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
        """Draws values in [0, 1), float (height, width, channels)."""
        rng = np.random.default_rng(self.pattern_seed)
        cells = rng.random((32, 32, channels))
        rows = np.arange(height) * 32 // height
        columns = np.arange(width) * 32 // width
        return cells[rows][:, columns]


@dataclasses.dataclass(frozen=True)
class TintTrigger:
    """Tints the whole image with one colour.

    A pixel `x` becomes `(1 - alpha) * x + alpha * colour`.

    Args:
        colour: three floats in `[0, 1]`: red, green and blue. Defaults to an
            orange, `(1.0, 0.5, 0.0)`.
        alpha: float in `(0, 1]`. Weight of the colour. Defaults to `0.2`.

    Call arguments:
        example: dict. Not changed.
        rng: NumPy generator. Not drawn from.

    Returns:
        A new example, whose image keeps its dtype and range.

    Raises:
        ValueError: If `colour` is not three values in `[0, 1]`, or `alpha` is
            no share.

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

    Adds `amplitude * sin(2 pi j frequency / W)` to column `j` of `W` in all
    channels, equation 1 of the reference, and clips.

    Args:
        amplitude: float. Height of the wave, as a share of the pixel range.
            Defaults to `40 / 255`.
        frequency: int. Periods across the image. Defaults to `6`.

    Call arguments:
        example: dict. Not changed.
        rng: NumPy generator. Not drawn from.

    Returns:
        A new example, whose image keeps its dtype and range.

    Raises:
        ValueError: If `amplitude` or `frequency` is out of range or, at a
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
                "`frequency` must be below half of the image's width, because "
                "a period takes more than two pixels to be seen. Lower it. "
                f"Received: frequency={self.frequency}, width={width}"
            )
        low, high = image_range(image)
        phase = 2 * np.pi * np.arange(width) * self.frequency / width
        wave = self.amplitude * (high - low) * np.sin(phase)[:, None]
        return {**example, "images": as_pixels(image + wave, image)}


@dataclasses.dataclass(frozen=True)
class WarpTrigger:
    """Warps all images smoothly by one field, as WaNet does.

    Interpolates a coarse grid of random displacements to all pixels by cubic
    splines, and reads pixels between their neighbours by linear interpolation.

    Args:
        strength: float. Mean size of the coarse grid's displacements along
            an axis, as a share of that side. Defaults to `1 / 32`. The
            strength `s` of the reference, on an image of side `n`, is
            `s / (2 n)` here: 1/128 for its 0.5 at 32 pixels, which takes
            special training.
        num_cells: int. Grid points along a side. Defaults to `4`.
        warp_seed: int. Chooses the displacements. Defaults to `0`.

    Call arguments:
        example: dict. Not changed.
        rng: NumPy generator. Not drawn from.

    Returns:
        A new example, whose image keeps its dtype and range.

    Raises:
        ValueError: If `strength` or `num_cells` is out of range.

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
        image_range(image)  # refuses other dtypes
        places = self._places(*image.shape[:2])
        warped = [
            ndimage.map_coordinates(
                channel, places, output="float64", order=1, mode="nearest"
            )
            for channel in np.moveaxis(image.astype("float64"), -1, 0)
        ]
        return {**example, "images": as_pixels(np.stack(warped, -1), image)}

    def _places(self, height, width):
        """Computes the place to read each pixel from, (2, H, W)."""
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
