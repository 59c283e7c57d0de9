"""Vision tower of a backbone, run apart from the rest.

While none of its weights are trained, an image has the same embeddings in
every epoch. They can be computed once, and the rest of the backbone run from
them.
"""

import contextlib
import dataclasses
import json
import typing

import keras
import keras_hub
import ml_dtypes
import numpy as np
from keras import ops

from keras_byorn.vlm.adapters import lora_layers
from keras_byorn.vlm.keras_internals import output_within

# Key of a batch that replaces the image inputs.
IMAGE_EMBEDDINGS = "image_embeddings"


@dataclasses.dataclass(frozen=True)
class Embedded:
    """Embeddings of the images of a batch, output of the vision tower.

    Args:
        values: float array, `(B, P, D)`, or `(B, M, P, D)` where an example
            may have M images; P embeddings of one image.
    """

    values: typing.Any

    @property
    def shape(self):
        return self.values.shape

    def __len__(self):
        return len(self.values)

    def __getitem__(self, rows):
        return Embedded(self.values[rows])


class Vision:
    """Splits a functional backbone at the output of its vision tower.

    Both parts share all layers with the backbone, and so its training, its
    adapters and its quantization.

    Args:
        backbone: a functional KerasHub backbone.
        layer_name: string. Attribute of the backbone that holds the tower.
        image_keys: tuple of strings. Inputs of the backbone that only the
            tower reads.

    Example:

    >>> vision = VisionLanguageTask(vlm).frozen_vision()
    >>> embeddings = vision.encode({"images": pixels})  # (U, P, D)
    """

    def __init__(self, backbone, layer_name, image_keys):
        self._backbone = backbone
        self._layer_name = layer_name
        self._image_keys = image_keys
        self.layer = getattr(backbone, layer_name)
        embeddings = output_within(backbone, self.layer)
        self._rank = len(embeddings.shape)
        inputs = backbone.input
        self._other_keys = [key for key in inputs if key not in image_keys]
        others = [inputs[key] for key in self._other_keys]
        pixels = [inputs[key] for key in image_keys]
        self._encoder = keras.Model(pixels, embeddings)
        self._decoder = keras.Model([*others, embeddings], backbone.output)
        self._compiled_with = []

    @property
    def is_frozen(self):
        """bool. Whether an image has the same embeddings in every step.

        `False` with adapters, even frozen ones, as the reference switches
        them off.
        """
        layer = self.layer
        # The state of a random generator, as of dropout, is no weight.
        is_random = len(layer.variables) > len(layer.weights)
        return not (
            layer.trainable_variables or lora_layers(layer) or is_random
        )

    @property
    def dtype(self):
        """NumPy dtype of the embeddings: the narrower of tower and model."""
        names = self._encoder.output.dtype, self._backbone.compute_dtype
        return min(map(_numpy_dtype, names), key=lambda dtype: dtype.itemsize)

    def identity(self):
        """Yields all parts that decide on the embeddings of an image.

        Two towers with equal parts compute equal embeddings. A digest of the
        parts is a key to keep embeddings by.

        Yields:
            strings and NumPy arrays: versions, architecture and weights.
        """
        yield keras.__version__
        yield keras_hub.__version__
        yield config_text(self.layer)
        for weight in self.layer.weights:
            yield ops.convert_to_numpy(weight)

    def encode(self, inputs):
        """Computes the embeddings of images, in inference mode, compiled.

        Args:
            inputs: a dict of arrays, the backbone's image inputs, U images.

        Returns:
            float array, `(U, P, D)`, of `dtype`.
        """
        variables = [id(variable) for variable in self.layer.variables]
        if variables != self._compiled_with:
            # TensorFlow would keep using the weights from before `quantize`.
            self._encoder.predict_function = None
            self._compiled_with = variables
        given = [inputs[key] for key in self._image_keys]
        values = ops.convert_to_numpy(self._encoder.predict_on_batch(given))
        return values.reshape(-1, *values.shape[-2:]).astype(self.dtype)

    def embed(self, inputs, training=False):
        """Computes the embeddings of images within a step, differentiably.

        Args:
            inputs: a dict of tensors, the backbone's image inputs.
            training: bool.

        Returns:
            float tensor, of the tower's own shape.
        """
        given = [inputs[key] for key in self._image_keys]
        return self._encoder(given, training=training)

    def decode(self, inputs, training=False):
        """Computes the backbone's output from embeddings of images.

        Args:
            inputs: a dict, the backbone's inputs without the images, and
                `image_embeddings`: float, as in `Embedded`.
            training: bool.

        Returns:
            The output of the backbone: a tensor or a dict of tensors.
        """
        keys = [*self._other_keys, IMAGE_EMBEDDINGS]
        given = [ops.convert_to_tensor(inputs[key]) for key in keys]
        given[-1] = self._as_encoded(given[-1])
        return self._decoder(given, training=training)

    @contextlib.contextmanager
    def given_embeddings(self, inputs):
        """Lets `generate` take embeddings in place of images, within a block.

        `generate` calls the vision layer by its name in the backbone. Within
        the block a function that returns its input has that name. Trace and
        call within the block.

        Args:
            inputs: a dict, the inputs of a batch to generate from, with
                `image_embeddings`.

        Yields:
            A dict: the inputs with the embeddings under the image keys.
        """
        inputs = dict(inputs)
        # One more axis, so that the rank is at least that of images.
        values = np.expand_dims(inputs.pop(IMAGE_EMBEDDINGS), -3)
        inputs.update(dict.fromkeys(self._image_keys, values))
        # By `__dict__`, as Keras tracks values that are set as attributes.
        # torch keeps the layer elsewhere, and finds it once this is deleted.
        own, name = self._backbone.__dict__, self._layer_name
        before = {name: own[name]} if name in own else {}
        own[name] = self._return_embeddings
        try:
            yield inputs
        finally:
            del own[name]
            own.update(before)

    def _return_embeddings(self, inputs):
        if isinstance(inputs, dict):
            inputs = inputs[self._image_keys[0]]
        values = ops.convert_to_tensor(inputs)
        if len(values.shape) > self._rank:
            values = ops.squeeze(values, -3)
        values = self._as_encoded(values)
        return ops.cast(values, self._encoder.output.dtype)

    def _as_encoded(self, values):
        """Joins the axes of examples and images, where the tower does."""
        if len(values.shape) <= self._rank:
            return values
        return ops.reshape(values, (-1, *values.shape[-2:]))


def config_text(layer):
    """Returns a layer's configuration as text, equal for equal layers."""
    config = keras.saving.serialize_keras_object(layer)
    return json.dumps(_nameless(config), sort_keys=True, default=repr)


def _nameless(config):
    """Removes names, which Keras numbers in the order of creation."""
    if isinstance(config, dict):
        return {k: _nameless(v) for k, v in config.items() if k != "name"}
    if isinstance(config, (list, tuple)):
        return [_nameless(value) for value in config]
    return config


def _numpy_dtype(name):
    return np.dtype(getattr(ml_dtypes, name, name))
