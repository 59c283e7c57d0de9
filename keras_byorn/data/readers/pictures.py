"""Pillow images of any mode, as uint8 RGB."""

import numpy as np
import PIL.Image
import PIL.ImageOps

from keras_byorn.data.readers.pixels import range_of, rgb_of_array

MAX_PIXELS = 89_478_485  # of one image: as many as Pillow decodes unwarned


def check_num_pixels(height, width):
    """Refuses an image of more pixels than any model looks at."""
    if height * width > MAX_PIXELS:
        raise ValueError(
            f"`images` must have at most {MAX_PIXELS:,} pixels each, because "
            "larger ones are decompression bombs far more often than pictures, "
            "and fill the memory. Resize it first, or drop the example. "
            f"Received: {height:,} × {width:,} pixels"
        )


def rgb_of_picture(picture, pixel_range=None):
    """Converts a Pillow image to an RGB array.

    Turns it upright by its EXIF orientation. Palette, grey, CMYK and YCbCr
    become RGB; what is transparent is blended over white; 16-bit, 32-bit and
    float images are scaled, see `range_of_picture`. Of several frames the
    first is taken.

    Args:
        picture: a Pillow image.
        pixel_range: optional pair of numbers, black and white, for an image of
            more than 8 bits. Defaults to `None`, `range_of_picture(picture)`.

    Returns:
        A uint8 array, `(H, W, 3)`.

    Raises:
        Exception: Whatever Pillow raises of a broken file.

    Example:

    >>> rgb_of_picture(PIL.Image.new("L", (2, 1), 7)).tolist()
    [[[7, 7, 7], [7, 7, 7]]]
    """
    if is_deep(picture):
        pixel_range = pixel_range or range_of_picture(picture)
        upright = PIL.ImageOps.exif_transpose(picture)
        return rgb_of_array(np.asarray(upright), pixel_range)
    picture = PIL.ImageOps.exif_transpose(picture)
    if picture.mode == "La":
        picture = picture.convert("LA")
    if picture.mode == "RGBa" or picture.has_transparency_data:
        picture = picture.convert("RGBA")
        white = PIL.Image.new("RGBA", picture.size, "white")
        picture = PIL.Image.alpha_composite(white, picture)
    return np.array(picture.convert("RGB"))


def is_deep(picture):
    """Returns whether a Pillow image has more than 8 bits a channel."""
    return picture.mode.startswith("I") or picture.mode == "F"


def range_of_picture(picture):
    """Returns the range of the pixels of an image of more than 8 bits.

    Args:
        picture: a Pillow image of mode `"I;16"`, `"I"` or `"F"`.

    Returns:
        A pair of numbers: 0 and 65535 for 16 bits, else `range_of` its array.
    """
    # Older Pillow reads 16-bit PNG files as 32 bits.
    if picture.mode.startswith("I;16") or picture.format == "PNG":
        return 0, 65535
    return range_of(np.asarray(picture))
