"""The frozen copy of full fine-tuning: its type, its memory, its paths."""

import keras
import numpy as np
import pytest

from keras_byorn.detection.reference import FrozenReference


def in_numpy(variables):
    return [np.array(keras.ops.convert_to_numpy(v)) for v in variables]


@pytest.fixture
def mixed_bfloat16():
    """Weights in float32, computed with in bfloat16."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield
    keras.config.set_dtype_policy(before)


def test_the_copy_computes_in_the_models_own_type(
    mixed_bfloat16, make_vlm, make_batches
):
    """Half the memory, where the model computes in half precision anyway."""
    vlm = make_vlm()
    assert vlm.backbone.variable_dtype == "float32"
    whole = make_batches(vlm).prepared.scoring_batches()
    itself = FrozenReference(vlm, adapters_off=True)  # and not frozen
    expected = itself.score(whole, 0)
    reference = FrozenReference.of(vlm)
    assert {v.dtype for v in reference.task.weights} == {"bfloat16"}
    found = reference.score(whole, 0)
    for values, wanted in zip(found[:2], expected[:2]):
        np.testing.assert_allclose(values, wanted, atol=0.02)


def test_the_copy_of_a_float32_model_is_float32(make_vlm):
    """And its memory is its own, though no third set was made on the way."""
    vlm = make_vlm()

    def refuse():
        raise AssertionError("all weights at once")

    vlm.backbone.get_weights = refuse
    copy = FrozenReference.of(vlm).task
    before = in_numpy(copy.weights)
    assert {v.dtype for v in copy.weights} == {"float32"}
    for own, other in zip(copy.weights, vlm.weights, strict=True):
        np.testing.assert_array_equal(own, other)
        assert own.value is not other.value
        other.assign(other + 1.0)
    for own, value in zip(copy.weights, before):
        np.testing.assert_array_equal(own, value)


def test_the_copy_has_paths_of_its_own(make_vlm):
    """By them Keras tells the parameters of a model apart on PyTorch."""
    vlm = make_vlm()
    copy = FrozenReference.of(vlm).task
    own = {variable.path for variable in copy.weights}
    others = {variable.path for variable in vlm.weights}
    assert len(own) == len(others) == len(vlm.weights)
    assert not own & others
    assert all(path.startswith("frozen_reference/") for path in own)
