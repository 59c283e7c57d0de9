"""Pixel values of images: their range, and the way back to it."""

import numpy as np


def as_pixels(values, image):
    """Converts values to pixels: clips, rounds and casts them.

    Args:
        values: float array.
        image: array, uint8 or float, whose range and dtype to take.

    Returns:
        An array of the dtype of `image`; rounded if that is an integer type.

    Raises:
        ValueError: If `image_range` refuses the image.

    Example:

    >>> as_pixels(np.array([-3.0, 7.6]), np.zeros(2, "uint8"))
    array([0, 8], dtype=uint8)
    """
    values = np.clip(values, *image_range(image))
    if np.issubdtype(image.dtype, np.integer):
        values = np.round(values)
    return values.astype(image.dtype)


def image_range(image):
    """Returns the least and the greatest value that a pixel may have.

    Args:
        image: array, uint8 or float.

    Returns:
        `(0, 255)` for uint8 images and for floats from 0 on, `(-1, 1)` for
        floats of which some are negative.

    Raises:
        ValueError: If the image is of another dtype, or if it is a float
            image between 0 and 1, which may be of any range.

    Example:

    >>> image_range(np.array([-0.5, 0.5]))
    (-1, 1)
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
