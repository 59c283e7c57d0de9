"""The part of a backbone that reads images, apart from the rest.

Where nothing of it is trained, an image has the same embeddings in every
epoch: they can be computed once, and the rest of the backbone started with
them.
"""

import contextlib
import dataclasses
import itertools
import json
import typing

import keras
import keras_hub
import ml_dtypes
import numpy as np
from keras import ops

from keras_byorn.data.digests import digest
from keras_byorn.vlm.adapters import lora_layers

# The key of a batch that stands in the place of the images.
IMAGE_EMBEDDINGS = "image_embeddings"


@dataclasses.dataclass(frozen=True)
class Embedded:
    """Images of a batch as the vision tower sees them.

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
    """Parts a functional backbone at the output of its vision tower.

    Both parts share all layers with the backbone: what is trained, adapted or
    quantized there is so here.

    Args:
        backbone: a functional KerasHub backbone.
        layer_name: string. The attribute of the backbone that reads images.
        image_keys: tuple of strings. The backbone's inputs that only it reads.
    """

    def __init__(self, backbone, layer_name, image_keys):
        self._backbone = backbone
        self._layer_name = layer_name
        self._image_keys = image_keys
        self.layer = getattr(backbone, layer_name)
        seen = _output_within(backbone, self.layer)
        self._rank = len(seen.shape)
        inputs = backbone.input
        self._other_keys = [key for key in inputs if key not in image_keys]
        others = [inputs[key] for key in self._other_keys]
        self._encoder = keras.Model([inputs[key] for key in image_keys], seen)
        self._decoder = keras.Model([*others, seen], backbone.output)
        self._compiled_with = []

    @property
    def is_frozen(self):
        """bool. Whether an image has the same embeddings in every step.

        Adapters count as training even if they are frozen, for the reference
        switches them off.
        """
        layer = self.layer
        # The state of a random generator is no weight, as that of dropout.
        is_random = len(layer.variables) > len(layer.weights)
        return not (
            layer.trainable_variables or lora_layers(layer) or is_random
        )

    @property
    def dtype(self):
        """NumPy dtype of the embeddings, half precision if the model is."""
        names = self._encoder.output.dtype, self._backbone.compute_dtype
        return min(map(_numpy_dtype, names), key=lambda dtype: dtype.itemsize)

    def digest(self):
        """string. Another one where weights or architecture are others."""
        return digest(
            itertools.chain(
                [
                    keras.__version__,
                    keras_hub.__version__,
                    config_text(self.layer),
                ],
                map(ops.convert_to_numpy, self.layer.weights),
            )
        )

    def encode(self, inputs):
        """Embeddings of images, compiled, out of training.

        Args:
            inputs: a dict of arrays, the backbone's image inputs, U images.

        Returns:
            array, `(U, P, D)`.
        """
        variables = [id(variable) for variable in self.layer.variables]
        if variables != self._compiled_with:
            # TensorFlow would go on with weights from before `quantize`.
            self._encoder.predict_function = None
            self._compiled_with = variables
        given = [inputs[key] for key in self._image_keys]
        seen = ops.convert_to_numpy(self._encoder.predict_on_batch(given))
        return seen.reshape(-1, *seen.shape[-2:]).astype(self.dtype)

    def decode(self, inputs, training=False):
        """What the backbone returns, computed from embeddings of images.

        Args:
            inputs: a dict, the backbone's inputs but for images, and
                `image_embeddings`, as in `Embedded`.
            training: bool.
        """
        keys = [*self._other_keys, IMAGE_EMBEDDINGS]
        given = [ops.convert_to_tensor(inputs[key]) for key in keys]
        given[-1] = self._as_seen(given[-1])
        return self._decoder(given, training=training)

    @contextlib.contextmanager
    def given_embeddings(self, inputs):
        """Within this block `generate` may be given embeddings for images.

        It calls the vision layer by its name in the backbone; here that hands
        on what it is given. Trace and call within the block.

        Args:
            inputs: a dict, the inputs of a batch to generate from, with
                `image_embeddings`.

        Yields:
            The inputs with the embeddings in the place of images.
        """
        inputs = dict(inputs)
        # One axis more, so that they have no less than a batch of images.
        values = np.expand_dims(inputs.pop(IMAGE_EMBEDDINGS), -3)
        inputs.update(dict.fromkeys(self._image_keys, values))
        # By `__dict__`, for Keras tracks what is set as an attribute. On torch
        # the layer is kept elsewhere, and found there when this is gone.
        own, name = self._backbone.__dict__, self._layer_name
        before = {name: own[name]} if name in own else {}
        own[name] = self._hand_on
        try:
            yield inputs
        finally:
            del own[name]
            own.update(before)

    def _hand_on(self, inputs):
        if isinstance(inputs, dict):
            inputs = inputs[self._image_keys[0]]
        values = ops.convert_to_tensor(inputs)
        if len(values.shape) > self._rank:
            values = ops.squeeze(values, -3)
        return ops.cast(self._as_seen(values), self._encoder.output.dtype)

    def _as_seen(self, values):
        """Several images of an example after another, if the tower has it."""
        if len(values.shape) <= self._rank:
            return values
        return ops.reshape(values, (-1, *values.shape[-2:]))


def config_text(layer):
    """The configuration of a layer, the same for every instance of it."""
    config = keras.saving.serialize_keras_object(layer)
    return json.dumps(_nameless(config), sort_keys=True, default=repr)


def _nameless(config):
    """Without names, which Keras numbers by what was made before."""
    if isinstance(config, dict):
        return {k: _nameless(v) for k, v in config.items() if k != "name"}
    if isinstance(config, (list, tuple)):
        return [_nameless(value) for value in config]
    return config


def _numpy_dtype(name):
    return np.dtype(getattr(ml_dtypes, name, name))


def _output_within(backbone, layer):
    """The tensor that a layer returns in the backbone's own graph."""
    (node,) = [
        node
        for nodes in backbone._nodes_by_depth.values()
        for node in nodes
        if node.operation is layer
    ]
    (output,) = node.outputs
    return output
