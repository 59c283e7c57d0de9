"""Arrays of any layout and range, as uint8 RGB."""

import numpy as np

CHANNELS = (1, 3, 4)  # grey, RGB, RGBA
LAYOUTS = ("auto", "first", "last")
# Ranges that are common, in the order in which they are tried.
FLOAT_RANGES = ((0, 1), (-1, 1), (0, 255))
INTEGER_RANGES = ((0, 255), (0, 65535))


def rgb_of_array(array, pixel_range=None, channels="last"):
    """Converts an array to an RGB image.

    Grey is repeated, alpha is blended over white. Pixels are scaled from the
    range that they are in, see `range_of`, and never clipped.

    Args:
        array: array, `(H, W)`, `(H, W, C)` or `(C, H, W)` with C one of 1, 3
            and 4, of bool, any integer or any float type.
        pixel_range: optional pair of numbers, black and white, for all but
            bool and uint8. Defaults to `None`, `range_of(array)`.
        channels: `"last"`; `"first"`; or `"auto"`, told by the shape. Defaults
            to `"last"`, unless only the first axis can be channels.

    Returns:
        A uint8 array, `(H, W, 3)`.

    Raises:
        ValueError: If the shape or type is none of these, if pixels are not
            finite or out of `pixel_range`, or if the layout is not clear.

    Example:

    >>> rgb_of_array(np.array([[0.0, 1.0]]))[0].tolist()
    [[0, 0, 0], [255, 255, 255]]
    """
    array = _channels_last(_numeric(np.asarray(array)), channels)
    array = _scaled(array, pixel_range)
    if array.shape[-1] == 1:
        return np.repeat(array, 3, axis=-1)
    return _over_white(array) if array.shape[-1] == 4 else array


def range_of(array):
    """Returns the range of the pixels of an array.

    Args:
        array: array, not empty.

    Returns:
        A pair of numbers, black and white. That of the type for bool, uint8
        and uint16. Else the first of `[0, 1]` (floats), `[-1, 1]` (floats),
        `[0, 255]` and `[0, 65535]` (integers) that holds all pixels, and
        otherwise the least and the largest pixel.

    Raises:
        ValueError: If all pixels are equal and in none of these.
    """
    if array.dtype == bool:
        return 0, 1
    if array.dtype in ("uint8", "uint16"):
        return 0, int(np.iinfo(array.dtype).max)
    low, high = array.min(), array.max()
    is_float = array.dtype.kind == "f"
    known = FLOAT_RANGES if is_float else INTEGER_RANGES
    for black, white in known:
        if black <= low and high <= white:
            return black, white
    if low == high:
        raise ValueError(
            "the range of an image of one colour cannot be told. Pass "
            f"`pixel_range=(black, white)`. Received: all pixels {low}"
        )
    return float(low), float(high)


def _numeric(array):
    if array.dtype.name in ("bfloat16", "float16"):
        array = array.astype("float32")
    if array.dtype.kind not in "buif":
        raise ValueError(
            "an image must be an array of numbers. "
            f"Received: dtype {array.dtype}, shape {array.shape}"
        )
    if not array.size:
        raise ValueError(f"the image is empty. Received: shape {array.shape}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError("the image has NaN or infinity in it")
    return array


def _channels_last(array, channels):
    if array.ndim == 2:
        return array[..., None]
    first = array.ndim == 3 and array.shape[0] in CHANNELS
    last = array.ndim == 3 and array.shape[-1] in CHANNELS
    if not (first or last):
        raise ValueError(
            "an image must have the shape (height, width), (height, width, "
            "channels) or (channels, height, width) with 1, 3 or 4 channels, "
            f"and no batch axis. Received: shape {array.shape}"
        )
    if first and last and channels == "auto":
        raise ValueError(
            "the axis of the channels cannot be told from the shape. Pass "
            "`channels='first'` or `channels='last'`. "
            f"Received: shape {array.shape}"
        )
    if channels == "first" and not first:
        raise ValueError(
            "`channels='first'` wants the shape (channels, height, width). "
            f"Received: shape {array.shape}"
        )
    is_first = channels == "first" or not last
    return np.moveaxis(array, 0, -1) if is_first else array


def _scaled(array, pixel_range):
    if array.dtype == "uint8":
        return np.ascontiguousarray(array)
    if pixel_range is None or array.dtype == bool:
        pixel_range = range_of(array)
    black, white = pixel_range
    low, high = array.min(), array.max()
    if low < black or high > white:
        raise ValueError(
            f"pixels must be in `pixel_range`, [{black:g}, {white:g}]: they "
            f"are not clipped. Received: pixels in [{low:g}, {high:g}]"
        )
    values = (array.astype("float64") - black) * 255 / (white - black)
    return np.round(values).astype("uint8")


def _over_white(rgba):
    """Blends an image with alpha over white, as Pillow does."""
    alpha = rgba[..., 3:].astype("float64") / 255
    return np.round(255 + (rgba[..., :3] - 255.0) * alpha).astype("uint8")
