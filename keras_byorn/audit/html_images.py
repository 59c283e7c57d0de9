"""Small pictures of the audit's page."""

import base64
import io

import numpy as np
import PIL.Image

MAX_PIXELS = 160
MIN_PIXELS = 96
MAX_PNG_BYTES = 8_192


def one_picture(images):
    """Puts the images of an example side by side.

    Args:
        images: the images of an example: an array `(H, W, 3)`, a list of such
            arrays of one size, or `None`.

    Returns:
        array, `(H, W, 3)`; a white one if there is no image.
    """
    if images is None or len(images) == 0:
        return np.full((16, 16, 3), 255, "uint8")
    if isinstance(images, list):
        return np.concatenate(images, axis=1)
    return images


def thumbnail(image):
    """Makes a small picture of an image for the page.

    Args:
        image: array, `(H, W, 3)`. uint8 in [0, 255], or float in [0, 255],
            or in [-1, 1] if it has negative values.

    Returns:
        Dict with `type` and `data` (the base64 of a PNG file, or of a JPEG
        file for a photograph, of which a PNG would take many times as much;
        at most 160 pixels a side), the `width` and `height` to show it at,
        and `is_enlarged` for tiny images, whose pixels are shown as squares.
    """
    picture = PIL.Image.fromarray(_to_uint8(np.asarray(image)))
    picture.thumbnail((MAX_PIXELS, MAX_PIXELS))
    factor = max(1, MIN_PIXELS // max(picture.size))
    kind, data = "png", _encode(picture, "PNG")
    if len(data) > MAX_PNG_BYTES:
        jpeg = _encode(picture, "JPEG", quality=85, subsampling=0)
        kind, data = min((kind, data), ("jpeg", jpeg), key=lambda x: len(x[1]))
    return {
        "type": kind,
        "data": base64.b64encode(data).decode("ascii"),
        "width": picture.width * factor,
        "height": picture.height * factor,
        "is_enlarged": factor > 1,
    }


def _encode(picture, file_format, **options):
    """Encodes a picture as the bytes of a file."""
    file = io.BytesIO()
    picture.save(file, file_format, **options)
    return file.getvalue()


def _to_uint8(image):
    """Converts an image to uint8 in [0, 255]."""
    if image.dtype == np.uint8:
        return image
    image = np.nan_to_num(image.astype("float32"))
    if image.min() < 0:
        image = (image + 1) * 127.5
    return np.clip(np.round(image), 0, 255).astype("uint8")
