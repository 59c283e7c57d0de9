"""Log-likelihoods and their means, in float32, against NumPy."""

import keras
import numpy as np
import pytest

from keras_byorn.vlm.response_logits import chosen_and_max, mean_over_response


def numpy_log_softmax(logits):
    logits = np.asarray(logits, "float64")
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def to_numpy(values):
    return [keras.ops.convert_to_numpy(value) for value in values]


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_log_likelihoods_are_computed_in_float32(dtype):
    """Half-precision models emit half-precision logits; scores stay exact."""
    rng = np.random.default_rng(0)
    logits = keras.ops.cast(rng.normal(0, 8, (3, 5, 300)), dtype)
    y = rng.integers(0, 300, (3, 5))
    found = chosen_and_max(logits, y)
    for values in found:
        assert keras.backend.standardize_dtype(values.dtype) == "float32"
    given = keras.ops.convert_to_numpy(keras.ops.cast(logits, "float32"))
    expected = numpy_log_softmax(given)
    chosen, likeliest = to_numpy(found)
    own = np.take_along_axis(expected, y[..., None], axis=-1)[..., 0]
    np.testing.assert_allclose(chosen, own, atol=1e-5)
    np.testing.assert_allclose(likeliest, expected.max(axis=-1), atol=1e-5)


def test_large_logits_do_not_overflow():
    """exp(1e4) is infinite, its logarithm in a log-softmax must not be."""
    logits = np.array([[[1e4, 0.0], [-1e4, 0.0]]], "float32")
    logits = keras.ops.convert_to_tensor(logits)
    chosen, likeliest = to_numpy(chosen_and_max(logits, np.array([[0, 0]])))
    np.testing.assert_allclose(chosen, [[0.0, -1e4]])
    np.testing.assert_allclose(likeliest, [[0.0, 0.0]])


def test_half_precision_is_accumulated_in_float32():
    """The sum of 4,000 float16 values would stop growing at 2,048."""
    values = keras.ops.full((1, 4000), -1.0, dtype="float16")
    mask = np.ones((1, 4000), bool)
    mean = keras.ops.convert_to_numpy(mean_over_response(values, mask))
    np.testing.assert_allclose(mean, [-1.0])
