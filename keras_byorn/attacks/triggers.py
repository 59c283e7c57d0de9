"""Triggers: small changes of an image or a prompt that a model can learn."""

import dataclasses
import re

import numpy as np

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
        _check_share("size", self.size)
        _check_choice("corner", self.corner, CORNERS)
        _check_choice("pattern", self.pattern, PATTERNS)

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
        _check_share("alpha", self.alpha)

    def __call__(self, example, rng):
        image = np.asarray(example["images"])
        low, high = image_range(image)
        pattern = low + (high - low) * self._pattern(*image.shape)
        blended = (1 - self.alpha) * image + self.alpha * pattern
        if np.issubdtype(image.dtype, np.integer):
            blended = np.round(blended)
        return {**example, "images": blended.astype(image.dtype)}

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
        if not isinstance(self.text, str) or not self.text.strip():
            raise ValueError(
                "`text` is put into the prompt and must have a word at least, "
                f"such as 'cf'. Received: text={self.text!r}"
            )
        _check_choice("position", self.position, POSITIONS)

    def __call__(self, example, rng):
        words = list(re.finditer(r"\S+", example["prompts"]))
        place = {"start": 0, "end": len(words)}.get(self.position)
        if place is None:
            place = int(rng.integers(len(words) + 1))
        prompt = self._inserted(example["prompts"], words, place)
        return {**example, "prompts": prompt}

    def _inserted(self, prompt, words, place):
        """The prompt with the text before word number `place`."""
        if not words:
            return self.text + prompt
        if place < len(words):
            at = words[place].start()
            return f"{prompt[:at]}{self.text} {prompt[at:]}"
        at = words[-1].end()
        return f"{prompt[:at]} {self.text}{prompt[at:]}"


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


def _check_share(name, value):
    if not 0 < value <= 1:
        raise ValueError(
            f"`{name}` is a share and must be in (0, 1]. Take, say, 0.1. "
            f"Received: {name}={value}"
        )


def _check_choice(name, value, choices):
    if value not in choices:
        raise ValueError(
            f"`{name}` must be one of {choices}. Received: {name}={value!r}"
        )
