"""Images in every form that rows hold them in, as uint8 RGB."""

import io
import os
import pathlib

import numpy as np
import PIL.Image

from keras_byorn.data.readers.pictures import (
    is_deep,
    range_of_picture,
    rgb_of_picture,
)
from keras_byorn.data.readers.pixels import range_of, rgb_of_array
from keras_byorn.data.readers.seen_ranges import SeenRanges
from keras_byorn.data.readers.texts import is_missing
from keras_byorn.data.shown import shortened

# Raster formats that Pillow decodes itself, without another program.
RASTER_FORMATS = (
    *("PNG", "JPEG", "WEBP", "GIF", "BMP", "DIB", "TIFF", "PPM"),
    *("JPEG2000", "AVIF"),
)
# Programs and drawings, and those that Pillow hands to other software.
NOT_RASTER = {"EPS", "WMF", "BUFR", "GRIB", "HDF5", "MPEG"}


class ImageReader:
    """Reads an image from any form, or several from a list.

    Forms: arrays of NumPy, JAX, TensorFlow and PyTorch (channels first are
    told apart), nested lists of numbers, Pillow images, names of files, the
    bytes of a file (in a TensorFlow or NumPy string as well), and dicts of
    `"bytes"` and `"path"`.

    Args:
        files: an `ImageFiles`.
        formats: sequence of names of Pillow's formats.
        max_pixels: int. The most pixels of one image.
        pixel_range: optional pair of numbers, see `rgb_of_array`.
        channels: `"auto"`, `"first"` or `"last"`, see `rgb_of_array`.

    Example:

    >>> read = ImageReader(ImageFiles("pictures"))
    >>> read("cat.png").shape
    (480, 640, 3)
    """

    def __init__(
        self,
        files,
        formats=RASTER_FORMATS,
        max_pixels=PIL.Image.MAX_IMAGE_PIXELS,
        pixel_range=None,
        channels="auto",
    ):
        self._files = files
        self._formats = _installed(formats)
        self._max_pixels = max_pixels
        self._pixel_range = pixel_range
        self._channels = channels
        self.seen = SeenRanges()

    def __call__(self, value):
        """Reads one image.

        Args:
            value: an image in any form.

        Returns:
            A uint8 array, `(H, W, 3)`.

        Raises:
            ValueError: If it is in none of the forms, cannot be decoded, is
                too large, or is a file that must not be read.
        """
        if isinstance(value, dict):
            value = _of_dict(value)
        if isinstance(value, PIL.Image.Image):
            return self._picture(value)
        if isinstance(value, (str, os.PathLike)):
            return self._file(self._files.find(value))
        if isinstance(value, (bytes, bytearray, memoryview)):
            return self._decoded(io.BytesIO(value))
        return self._array(value)

    def _file(self, path):
        with path.open("rb") as file:
            return self._decoded(file)

    def _decoded(self, file):
        try:
            picture = PIL.Image.open(file, formats=self._formats)
        except PIL.UnidentifiedImageError:
            file.seek(0)
            opening = file.read(8)
            if not opening:
                raise ValueError("the file of the image is empty") from None
            raise ValueError(
                "the file is no image in one of the formats "
                f"{', '.join(self._formats)}, see `formats=`. Received: "
                f"a file that begins with {opening!r}"
            ) from None
        except Exception as error:  # of many types, by format
            raise undecodable(error) from error
        with picture:
            return self._picture(picture)

    def _picture(self, picture):
        width, height = picture.size
        if width * height > self._max_pixels:
            raise ValueError(
                f"an image has at most {self._max_pixels:,} pixels, see "
                f"`max_pixels=`. Received: {width} × {height}"
            )
        try:
            if is_deep(picture) and self._pixel_range is None:
                self.seen.add(np.asarray(picture), range_of_picture(picture))
            return rgb_of_picture(picture, self._pixel_range)
        except Exception as error:
            raise undecodable(error) from error

    def _array(self, value):
        channels = self._channels
        if hasattr(value, "detach"):  # PyTorch: channels first by custom
            value = value.detach().cpu()
            if "bfloat16" in str(value.dtype):
                value = value.float()
        elif channels == "auto":
            channels = "last"
        try:
            array = np.asarray(value)
        except (TypeError, ValueError) as error:
            raise ValueError(
                "an image must be an array, a Pillow image, the name of a "
                "file, its bytes, or a dict with `bytes` or `path`. Received: "
                f"{type(value).__name__}"
            ) from error
        if array.ndim == 0 and array.dtype.kind in "SUO":
            inner = array.item()
            if isinstance(inner, (str, bytes)):
                return self(inner)
        if array.dtype.kind in "SUO" or array.ndim < 2:
            raise ValueError(
                "an image must be an array, a Pillow image, the name of a "
                "file, its bytes, or a dict with `bytes` or `path`. Received: "
                f"{type(value).__name__}, {shortened(value)}"
            )
        if array.dtype.name not in ("bool", "uint8") and array.size:
            rgb = rgb_of_array(array, self._pixel_range, channels)
            if self._pixel_range is None:
                self.seen.add(array, range_of(array))
            return rgb
        return rgb_of_array(array, self._pixel_range, channels)


def undecodable(error):
    """Makes a `ValueError` of whatever Pillow raised of a broken image."""
    return ValueError(
        f"the image cannot be decoded: {type(error).__name__}: {error}"
    )


def _installed(formats):
    """Returns the formats that this Pillow decodes; refuses unknown ones."""
    PIL.Image.init()
    names = [name.upper() for name in formats]
    allowed = {*PIL.Image.OPEN, *RASTER_FORMATS} - NOT_RASTER
    unknown = sorted(set(names) - allowed)
    if unknown:
        raise ValueError(
            "`formats` must be names of Pillow's raster formats, such as "
            f"{', '.join(sorted(allowed))}. Received: {unknown}"
        )
    return tuple(name for name in names if name in PIL.Image.OPEN)


def images_in(value):
    """Lists the images of a row.

    Args:
        value: an image in any form, a list of them, or a missing value.

    Returns:
        A list; empty where the value is missing.
    """
    if isinstance(value, (str, bytes)):
        return [value] if len(value) and str(value).strip() else []
    if is_missing(value):
        return []
    if isinstance(value, np.ndarray) and value.dtype.kind in "OSU":
        value = value.tolist() if value.ndim == 0 else list(value)
    if isinstance(value, (list, tuple)) and not _is_numbers(value):
        return list(value)
    return [value]


def _is_numbers(value):
    """Returns whether a list is nested lists of numbers, one image."""
    while isinstance(value, (list, tuple)) and value:
        value = value[0]
    return isinstance(value, (int, float, np.number))


def _of_dict(value):
    data, path = value.get("bytes"), value.get("path")
    if not is_missing(data):
        return data
    if not is_missing(path):
        return pathlib.Path(path)
    raise ValueError(
        "an image in a dict has `bytes` or `path`. "
        f"Received: {shortened(sorted(map(str, value)))} without either"
    )
