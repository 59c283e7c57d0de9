"""Private names of Keras and KerasHub mean what the package takes them for.

A release that renames one, or gives it another meaning, fails here first.
"""

import gc
import weakref

import keras
import numpy as np
import pytest

from keras_byorn.vlm.keras_internals import (
    flatten_layers,
    forget_compiled_trainable_state,
    input_within,
    keeping_weights,
    output_within,
    own_variables,
    rotated,
    untrack,
    was_lora_enabled,
)
from keras_byorn.vlm.tiny_models import TINY
from keras_byorn.vlm.tiny_models.pali_gemma import tiny_pali_gemma


class Scaled(keras.layers.Layer):
    """A dense layer between two weights of its own, one of them frozen."""

    def build(self, input_shape):
        ones = {"shape": (1,), "initializer": "ones"}
        self.offset = self.add_weight(**ones, trainable=False)
        self.dense = keras.layers.Dense(1)
        self.dense.build(input_shape)
        self.again = self.dense  # a second name is no second layer
        self.scale = self.add_weight(**ones)

    def call(self, x):
        return self.dense(x) * self.scale + self.offset


def make_model():
    inputs = keras.Input((2,))
    return keras.Model(inputs, keras.layers.ReLU()(Scaled()(inputs)))


def test_flatten_layers_reaches_layers_within_layers():
    """The model comes first, and each layer once."""
    model = make_model()
    inputs, scaled, relu = model.layers
    layers = flatten_layers(model)
    assert layers[0] is model
    assert {id(layer) for layer in layers} == {
        id(layer) for layer in (model, inputs, scaled, scaled.dense, relu)
    }
    assert len(layers) == 5
    within = flatten_layers(scaled, include_self=False)
    assert within == [scaled.dense]


def test_own_variables_are_of_no_sublayer():
    """Trainable ones come first, in the order of `weights`."""
    model = make_model()
    _, scaled, relu = model.layers
    names = [variable.path for variable in own_variables(scaled)]
    assert names == [scaled.scale.path, scaled.offset.path]
    assert own_variables(scaled.dense) == scaled.dense.weights
    assert own_variables(model) == own_variables(relu) == []


@pytest.mark.parametrize("name", ["PaliGemma", "T5Gemma 2"])
def test_own_variables_of_all_layers_are_all_weights(name):
    """Each weight of a task belongs to one layer."""
    vlm = TINY[name]()
    own = [id(v) for layer in flatten_layers(vlm) for v in own_variables(layer)]
    assert len(own) == len(set(own))
    assert set(own) == {id(variable) for variable in vlm.weights}
    strays = [variable.path for variable in own_variables(vlm.backbone)]
    assert len(strays) == (2 if name == "T5Gemma 2" else 0), strays


def test_output_within_is_of_the_graph_asked_for():
    """A layer may be a model, and may be called in another graph before."""
    inner = keras.Input((2,))
    tower = keras.Model(inner, keras.layers.Dense(3, name="inner")(inner))
    tower(keras.Input((2,)))
    inputs = keras.Input((2,))
    outputs = keras.layers.Dense(1)(tower(inputs))
    backbone = keras.Model(inputs, outputs)
    found = output_within(backbone, tower)
    assert isinstance(found, keras.KerasTensor) and found is not tower.output
    x = np.ones((4, 2), "float32")
    start, end = keras.Model(inputs, found), keras.Model(found, outputs)
    np.testing.assert_allclose(*map(as_numpy, (start(x), tower(x))))
    np.testing.assert_allclose(*map(as_numpy, (end(start(x)), backbone(x))))


def test_input_within_is_the_first_of_a_call():
    """Of the graph asked for; masks and the like come behind it."""
    layer = keras.layers.MultiHeadAttention(1, 2, name="attention")
    inputs, others = keras.Input((3, 2)), keras.Input((3, 2))
    hidden = keras.layers.Dense(2)(inputs)
    backbone = keras.Model([inputs, others], layer(hidden, others))
    assert input_within(backbone, layer) is hidden


@pytest.mark.parametrize("name", ["PaliGemma", "Gemma 3"])
def test_rotated_values_know_their_positions(name):
    """The first stay, lengths stay, and products depend on distances."""
    attention = TINY[name]().backbone.transformer_layers[0].attention
    rng = np.random.default_rng(0)
    one = rng.normal(0, 1, (1, 1, 1, attention.head_dim)).astype("float32")
    values = np.repeat(one, 5, axis=1)
    found = as_numpy(rotated(attention, keras.ops.convert_to_tensor(values)))
    lengths = np.linalg.norm(found, axis=-1)
    np.testing.assert_allclose(lengths, np.linalg.norm(one), rtol=1e-5)
    products = found[0, :, 0] @ found[0, :, 0].T
    for distance in range(5):
        along = np.diagonal(products, distance)
        np.testing.assert_allclose(along, along[0], rtol=1e-4)
    assert np.ptp(products[0]) > 0.1


def as_numpy(tensor):
    return keras.ops.convert_to_numpy(tensor)


def test_a_call_of_enable_lora_leaves_a_trace():
    """It does so even if no layer has the name."""
    backbone = tiny_pali_gemma().backbone
    assert not was_lora_enabled(backbone)
    backbone.enable_lora(2, target_layer_names=["no such layer"])
    assert was_lora_enabled(backbone)
    assert not backbone.trainable_variables


class Holder(keras.Model):
    """A model with a part that it can give up."""

    def __init__(self):
        super().__init__()
        self.kept = keras.layers.Dense(1)
        self.kept.build((None, 2))
        self.part = make_model()
        self.built = True

    def call(self, x):
        return self.kept(x)


def test_a_part_that_is_not_tracked_is_freed():
    """Deleting the attribute alone leaves its weights with the model."""
    model = Holder()
    part = model.part
    alive = weakref.ref(part)
    del model.part
    assert len(model.weights) > len(model.kept.weights)
    untrack(model, part)
    assert model.weights == model.kept.weights
    assert model.layers == [model.kept]
    assert not [name for name in vars(model) if "untracked" in name]
    del part
    gc.collect()
    assert alive() is None


def test_a_compiled_model_holds_its_layers_until_it_forgets_them():
    """The notes of `compile` keep a part alive that was given up."""
    model = Holder()
    model.compile("sgd", "mse")
    alive = weakref.ref(model.part)
    part = model.part
    del model.part
    untrack(model, part)
    del part
    gc.collect()
    assert alive() is not None
    forget_compiled_trainable_state(model)
    gc.collect()
    assert alive() is None
    forget_compiled_trainable_state(model)  # nothing left to forget
    data = np.ones((4, 2), "float32"), np.ones((4, 1), "float32")
    assert model.fit(*data, verbose=0).history["loss"]


@pytest.mark.parametrize("batches_before", [0, 1])
@pytest.mark.parametrize("is_compiled", [False, True])
def test_weights_outlast_an_interrupted_pass(batches_before, is_compiled):
    """On JAX they are out of the model while it predicts."""

    def batches(count):
        yield from [(np.ones((4, 2), "float32"),)] * count
        raise KeyboardInterrupt

    model = keras.Sequential([keras.layers.Dense(1)])
    model.build((None, 2))
    if is_compiled:
        model.compile("sgd", "mse")
    before = [as_numpy(weight) for weight in model.weights]
    # TensorFlow's pipelines raise an error of their own in its place.
    with pytest.raises((KeyboardInterrupt, Exception)), keeping_weights(model):
        model.predict(batches(batches_before + 1), steps=9, verbose=0)
    for own, weight in zip(before, model.weights, strict=True):
        np.testing.assert_array_equal(own, as_numpy(weight))
    assert model.predict(np.ones((4, 2), "float32"), verbose=0).shape == (4, 1)
