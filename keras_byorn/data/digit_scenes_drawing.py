"""Drawing of Digit Scenes: real handwriting, coloured and arranged."""

import dataclasses

import numpy as np
from PIL import Image

IMAGE_SIZE = 32
DIGITS = (
    "zero one two three four five six seven eight nine".split()
)  # index = value
COLOURS = {
    "red": (225, 40, 40),
    "green": (40, 190, 60),
    "blue": (60, 90, 240),
    "yellow": (235, 220, 40),
    "purple": (170, 50, 200),
    "white": (240, 240, 240),
}
RELATIONS = ("left of", "above")
GRID_SIDE = 4  # digits in a row of a grid
CELL_SIZE = IMAGE_SIZE // GRID_SIDE  # the size of the handwriting

# One seed for the split of the handwriting, for all configs.
HANDWRITING_SEED = 0
TEST_SHARE = 0.2


@dataclasses.dataclass(frozen=True)
class Scene:
    """Two digits, the first left of the second or above it.

    Attributes:
        first: pair of strings, colour and digit.
        second: pair of strings, colour and digit.
        relation: string. `"left of"` or `"above"`.
        image: uint8 array, `(32, 32, 3)`.
    """

    first: tuple[str, str]
    second: tuple[str, str]
    relation: str
    image: np.ndarray


@dataclasses.dataclass(frozen=True)
class Grid:
    """Small digits in rows of four, the first at the top left.

    Attributes:
        digits: tuple of pairs of strings, colour and digit, in reading order.
        image: uint8 array, `(32, 32, 3)`.
    """

    digits: tuple[tuple[str, str], ...]
    image: np.ndarray


def handwriting(split):
    """Loads the handwritten digits of one split.

    Divides the 1,797 samples of scikit-learn, stratified by digit. Leaves out
    test samples that equal a train sample to the pixel, so that no digit image
    of the test split occurs in train.

    Args:
        split: string. `"train"` or `"test"`.

    Returns:
        A dict from each digit value to a float32 array, `(N, 8, 8)`, in
        `[0, 1]`.

    Example:

    >>> handwriting("test")[7].shape
    (36, 8, 8)

    Reference:
        - [Alpaydin and Kaynak, 1998](https://doi.org/10.24432/C50P49)
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    pixels, values = digits.images.astype("float32") / 16.0, digits.target
    train, test = train_test_split(
        np.arange(len(values)),
        test_size=TEST_SHARE,
        stratify=values,
        random_state=HANDWRITING_SEED,
    )
    seen = {pixels[i].tobytes() for i in train}
    test = [i for i in test if pixels[i].tobytes() not in seen]
    chosen = {"train": train, "test": np.array(test)}[split]
    return {v: pixels[chosen[values[chosen] == v]] for v in range(10)}


def draw_scene(rng, samples, paint=None):
    """Draws a scene of two digits.

    Args:
        rng: a NumPy generator.
        samples: dict, the handwriting to draw with, from `handwriting()`.
        paint: optional callable from the position of a digit, 0 or 1, and the
            name of its colour to the RGB triple to paint it in. Defaults to
            `None`, the triple of `COLOURS`.

    Returns:
        A `Scene`.
    """
    words = [_words(rng) for _ in range(2)]
    relation = str(rng.choice(RELATIONS))
    canvas = _background(rng)
    for position, (colour, digit) in enumerate(words):
        mask = _enlarged(rng, _sample(rng, samples, digit))
        x, y = _place(rng, mask.shape[0], relation, position)
        rgb = paint(position, colour) if paint else COLOURS[colour]
        _paint(rng, canvas, mask, rgb, x, y)
    return Scene(words[0], words[1], relation, _pixels(canvas))


def draw_grid(rng, samples, num_digits):
    """Draws a grid of small digits, its rows filled from the top.

    A digit keeps its stored size of 8 x 8 pixels, so that sixteen fit.

    Args:
        rng: a NumPy generator.
        samples: dict, the handwriting to draw with, from `handwriting()`.
        num_digits: int, at most 16.

    Returns:
        A `Grid`.
    """
    words = [_words(rng) for _ in range(num_digits)]
    canvas = _background(rng)
    for index, (colour, digit) in enumerate(words):
        mask = _sample(rng, samples, digit)[..., None]
        row, column = divmod(index, GRID_SIDE)
        x, y = column * CELL_SIZE, row * CELL_SIZE
        _paint(rng, canvas, mask, COLOURS[colour], x, y)
    return Grid(tuple(words), _pixels(canvas))


def _words(rng):
    """Draws a colour and a digit."""
    return str(rng.choice(list(COLOURS))), str(rng.choice(DIGITS))


def _sample(rng, samples, digit):
    """Draws a handwritten sample of a digit, (8, 8) in [0, 1]."""
    pool = samples[DIGITS.index(digit)]
    return pool[rng.integers(len(pool))]


def _pixels(canvas):
    return np.clip(np.round(canvas), 0, 255).astype("uint8")


def _background(rng):
    """Draws a dark gradient with some noise, float (32, 32, 3)."""
    corner, opposite = rng.uniform(0, 70, (2, 3))
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[-1 : 1 : IMAGE_SIZE * 1j, -1 : 1 : IMAGE_SIZE * 1j]
    ramp = (np.cos(angle) * x + np.sin(angle) * y)[..., None] / 3 + 0.5
    noise = rng.normal(0, 6, (IMAGE_SIZE, IMAGE_SIZE, 3))
    return corner * ramp + opposite * (1 - ramp) + noise


def _enlarged(rng, sample):
    """Upscales an 8 x 8 digit to an opacity mask in [0, 1]."""
    size = int(rng.integers(14, 17))
    image = Image.fromarray(np.round(sample * 255).astype("uint8"))
    image = image.resize((size, size), Image.Resampling.BICUBIC)
    return np.asarray(image, "float32")[..., None] / 255.0


def _place(rng, size, relation, position):
    """Draws the corner of a digit in its half of the image, `(x, y)`."""
    half = IMAGE_SIZE // 2
    along = position * half + int(rng.integers(0, half - size + 1))
    across = (IMAGE_SIZE - size) // 2 + int(rng.integers(-3, 4))
    return (along, across) if relation == "left of" else (across, along)


def _paint(rng, canvas, mask, colour, x, y):
    """Blends a coloured digit into the canvas, in place."""
    size = mask.shape[0]
    colour = np.clip(np.array(colour) + rng.normal(0, 8, 3), 0, 255)
    window = canvas[y : y + size, x : x + size]
    window += mask * (colour - window)
