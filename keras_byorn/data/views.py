"""Changed views of an example, to measure the effect of its parts.

A view changes images or prompts before they are tokenized and converted. The
response stays as it is, so that its tokens can be compared one by one.
"""

import keras
import numpy as np
from keras import ops

from keras_byorn.data.configured import Configured


class View(Configured):
    """Base class: leaves everything as it is.

    A subclass overrides one of the methods and is registered with Keras for
    saving. Equal views have equal configurations.
    """

    @property
    def changes_pixels(self):
        """bool. Whether the view changes the pixels of an image."""
        return type(self).images is not View.images

    def positions(self, indices, num_examples):
        """Returns the positions of the images to show with some examples.

        Args:
            indices: int array, `(B,)`, positions of the examples.
            num_examples: int.

        Returns:
            int array, `(B,)`.
        """
        return indices

    def images(self, images, pixel_range):
        """Changes images.

        Args:
            images: array, `(B, H, W, 3)`, pixels in `pixel_range`.
            pixel_range: pair of floats.

        Returns:
            An array of the same shape.
        """
        return images

    def prompt(self, prompt):
        """Changes a prompt, a string."""
        return prompt


@keras.saving.register_keras_serializable(package="keras_byorn")
class BlankImage(View):
    """Replaces the image by an even grey, the middle of the pixel range."""

    def images(self, images, pixel_range):
        return np.full(images.shape, np.mean(pixel_range), "float32")


@keras.saving.register_keras_serializable(package="keras_byorn")
class NoiseImage(View):
    """Replaces each image by one image of uniform noise.

    Args:
        seed: int. Defaults to 0.
    """

    def __init__(self, seed=0):
        self.seed = seed

    def images(self, images, pixel_range):
        rng = np.random.default_rng(self.seed)
        noise = rng.uniform(*pixel_range, images.shape[1:]).astype("float32")
        return np.broadcast_to(noise, images.shape)

    def get_config(self):
        return {"seed": self.seed}


@keras.saving.register_keras_serializable(package="keras_byorn")
class ShuffledImage(View):
    """Shows the image of another example, some places further on."""

    def positions(self, indices, num_examples):
        return (np.asarray(indices) + _stride(num_examples)) % num_examples


@keras.saving.register_keras_serializable(package="keras_byorn")
class NoPrompt(View):
    """Empties the prompt, but for the newline that ended it, if any."""

    def prompt(self, prompt):
        return "\n" if prompt.endswith("\n") else ""


@keras.saving.register_keras_serializable(package="keras_byorn")
class Blur(View):
    """Blurs the image by a Gaussian.

    Args:
        sigma: float. Standard deviation, as a share of the image's short
            side. Defaults to 0.03: 1 pixel of 32, 7 of 224.
    """

    def __init__(self, sigma=0.03):
        self.sigma = sigma

    def images(self, images, pixel_range):
        sigma = max(0.3, self.sigma * min(images.shape[1:3]))
        size = 2 * int(np.ceil(2 * sigma)) + 1
        blurred = ops.image.gaussian_blur(
            ops.cast(images, "float32"),
            kernel_size=(size, size),
            sigma=(sigma, sigma),
            data_format="channels_last",
        )
        return ops.convert_to_numpy(blurred)

    def get_config(self):
        return {"sigma": self.sigma}


@keras.saving.register_keras_serializable(package="keras_byorn")
class Crop(View):
    """Cuts the border off the image, and scales it back to its size.

    Args:
        border: float in (0, 0.5). Share of a side that is cut off at each
            end. Defaults to 0.125, which removes a patch in a corner.
    """

    def __init__(self, border=0.125):
        if not 0 < border < 0.5:
            raise ValueError(
                "`border` is the share of a side that is cut off at each end "
                f"and must be in (0, 0.5). Received: border={border}"
            )
        self.border = border

    def images(self, images, pixel_range):
        height, width = images.shape[1:3]
        top, left = (max(1, round(self.border * n)) for n in (height, width))
        inner = images[:, top : height - top, left : width - left]
        return _resized(inner, (height, width))

    def get_config(self):
        return {"border": self.border}


@keras.saving.register_keras_serializable(package="keras_byorn")
class Resize(View):
    """Makes the image smaller and scales it back: fine detail is lost.

    Args:
        factor: float in (0, 1). The size in between, as a share of the
            image's. Defaults to 0.5.
    """

    def __init__(self, factor=0.5):
        if not 0 < factor < 1:
            raise ValueError(
                "`factor` is the size in between, as a share of the image's, "
                f"and must be in (0, 1). Received: factor={factor}"
            )
        self.factor = factor

    def images(self, images, pixel_range):
        size = images.shape[1:3]
        small = tuple(max(1, round(self.factor * n)) for n in size)
        return _resized(_resized(images, small), size)

    def get_config(self):
        return {"factor": self.factor}


@keras.saving.register_keras_serializable(package="keras_byorn")
class Paraphrase(View):
    """Puts the prompt in other words.

    Args:
        rewrite: callable from a prompt to another, both strings. Register it
            with Keras if it is to be saved.

    Example:

    >>> Paraphrase(lambda prompt: f"please {prompt}").prompt("describe\\n")
    'please describe\\n'
    """

    def __init__(self, rewrite):
        self.rewrite = rewrite

    def prompt(self, prompt):
        return self.rewrite(prompt)

    def get_config(self):
        serialize = keras.saving.serialize_keras_object
        return {"rewrite": serialize(self.rewrite)}

    @classmethod
    def from_config(cls, config):
        deserialize = keras.saving.deserialize_keras_object
        return cls(deserialize(config["rewrite"]))


def _resized(images, size):
    resized = ops.image.resize(
        ops.cast(images, "float32"), size, data_format="channels_last"
    )
    return ops.convert_to_numpy(resized)


def _stride(num_examples):
    """Returns a distance at which examples are unlikely to be alike."""
    return max(1, round(0.382 * num_examples)) if num_examples > 1 else 0
