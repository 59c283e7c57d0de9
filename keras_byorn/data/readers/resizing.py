"""Images of all sizes made one, as a task's image converter would."""

import dataclasses

import numpy as np
import PIL.Image
import PIL.ImageOps

METHODS = {
    "nearest": PIL.Image.Resampling.NEAREST,
    "bilinear": PIL.Image.Resampling.BILINEAR,
    "bicubic": PIL.Image.Resampling.BICUBIC,
    "lanczos3": PIL.Image.Resampling.LANCZOS,
    "lanczos5": PIL.Image.Resampling.LANCZOS,
}


@dataclasses.dataclass(frozen=True)
class Resizing:
    """Resizes an RGB image, equally on every backend.

    Attributes:
        size: pair of ints, height and width; `None` leaves images as they are.
        fit: `"crop"` cuts to the middle, `"pad"` adds black bars, `"stretch"`
            changes the aspect ratio.
        method: one of `METHODS`.
        pixel_range: pair of floats. The range of pixels to return: uint8 for
            0 and 255, else float32.

    Example:

    >>> Resizing((32, 32))(np.zeros((40, 30, 3), "uint8")).shape
    (32, 32, 3)
    """

    size: tuple | None = None
    fit: str = "stretch"
    method: str = "bilinear"
    pixel_range: tuple = (0.0, 255.0)

    def __call__(self, image):
        """Returns a uint8 array `(H, W, 3)` in the size, as an array."""
        if self.size is not None and image.shape[:2] != tuple(self.size):
            image = self._resized(PIL.Image.fromarray(image))
        low, high = self.pixel_range
        if (low, high) == (0.0, 255.0):
            return image
        return (image * ((high - low) / 255) + low).astype("float32")

    def _resized(self, picture):
        how, width_height = METHODS[self.method], self.size[::-1]
        if self.fit == "crop":
            picture = PIL.ImageOps.fit(picture, width_height, how)
        elif self.fit == "pad":
            picture = PIL.ImageOps.pad(picture, width_height, how)
        else:
            picture = picture.resize(width_height, how)
        return np.array(picture)


def resizing_for(task=None, image_size=None, pad=None):
    """Makes the `Resizing` of a task.

    Args:
        task: optional `VisionLanguageTask`. Defaults to `None`: bilinear.
        image_size: optional int, or pair of ints, height and width. Defaults
            to that of the task's image converter.
        pad: optional bool. `True` keeps the aspect ratio with black bars,
            `False` does not keep it. Defaults to `None`: as the converter.

    Returns:
        A `Resizing`.
    """
    size = (image_size,) * 2 if isinstance(image_size, int) else image_size
    fit = {True: "pad", False: "stretch", None: "stretch"}[pad]
    if task is None or not task.num_images[1]:
        return Resizing(size and tuple(size), fit)
    converter = task.preprocessor.image_converter
    if pad is None and converter.crop_to_aspect_ratio:
        fit = "crop"
    elif pad is None and converter.pad_to_aspect_ratio:
        fit = "pad"
    low, high = task.pixel_range
    return Resizing(
        tuple(_image_size(task) if size is None else size),
        fit,
        converter.interpolation,
        # A converter that scales nothing takes what the backbone takes.
        (0.0, 255.0) if high > 1.5 else (low, high),
    )


def _image_size(task):
    """Returns height and width of a task's images."""
    size = task.preprocessor.image_converter.image_size
    if size is None:  # Gemma 4 takes any size; its backbone has its own
        size = task.task.backbone.image_size
    return (size, size) if isinstance(size, int) else size
