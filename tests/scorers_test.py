"""Scores are means per response token, low where implausible."""

import keras
import numpy as np
import pytest

from keras_byorn.plausibility.log_likelihoods import (
    mean_over_response,
    token_log_likelihoods,
)
from keras_byorn.plausibility.scorers import MeanLogLikelihood, Scorer


def numpy_log_likelihoods(logits, y):
    logits = np.asarray(logits, "float64")
    peak = logits.max(axis=-1, keepdims=True)
    shifted = logits - peak
    log_softmax = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
    return np.take_along_axis(log_softmax, y[..., None], axis=-1)[..., 0]


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_token_log_likelihoods_are_computed_in_float32(dtype):
    """Half-precision models emit half-precision logits; scores stay exact."""
    rng = np.random.default_rng(0)
    logits = keras.ops.cast(rng.normal(0, 8, (3, 5, 300)), dtype)
    y = rng.integers(0, 300, (3, 5))
    mask = rng.random((3, 5)) < 0.6
    result = token_log_likelihoods(logits, y, mask)
    assert keras.backend.standardize_dtype(result.dtype) == "float32"
    given = keras.ops.convert_to_numpy(keras.ops.cast(logits, "float32"))
    expected = np.where(mask, numpy_log_likelihoods(given, y), 0.0)
    result = keras.ops.convert_to_numpy(result)
    np.testing.assert_allclose(result, expected, atol=1e-5)


def test_large_logits_do_not_overflow():
    """exp(1e4) is infinite, its logarithm in a log-softmax must not be."""
    logits = np.array([[[1e4, 0.0], [-1e4, 0.0]]], "float32")
    y, mask = np.array([[0, 0]]), np.array([[True, True]])
    result = token_log_likelihoods(keras.ops.convert_to_tensor(logits), y, mask)
    result = keras.ops.convert_to_numpy(result)
    np.testing.assert_allclose(result, [[0.0, -1e4]])


def test_mean_log_likelihood_is_per_response_token():
    """Long responses are not implausible for being long."""
    log_likelihoods = np.array(
        [[-5.0, -1.0, -3.0, -9.0], [-2.0, -2.0, -2.0, -2.0], [-1, -1, -1, -1]],
        "float32",
    )
    mask = np.array([[0, 1, 1, 0], [1, 1, 1, 1], [0, 0, 0, 0]], bool)
    scores = MeanLogLikelihood()(log_likelihoods, mask)
    assert keras.backend.standardize_dtype(scores.dtype) == "float32"
    scores = keras.ops.convert_to_numpy(scores)
    np.testing.assert_allclose(scores, [-2.0, -2.0, 0.0])


def test_half_precision_is_accumulated_in_float32():
    """The sum of 4,000 float16 values would stop growing at 2,048."""
    values = keras.ops.full((1, 4000), -1.0, dtype="float16")
    mask = np.ones((1, 4000), bool)
    mean = keras.ops.convert_to_numpy(mean_over_response(values, mask))
    np.testing.assert_allclose(mean, [-1.0])


def test_scorers_survive_saving():
    """A model with a scorer of its own can be saved and loaded."""

    @keras.saving.register_keras_serializable(package="scorers_test")
    class Worst(Scorer):
        def __init__(self, floor):
            self.floor = floor

        def call(self, log_likelihoods, response_mask):
            worst = keras.ops.min(log_likelihoods, axis=-1)
            return keras.ops.maximum(worst, self.floor)

        def get_config(self):
            return {"floor": self.floor}

    for scorer in (MeanLogLikelihood(), Worst(-4.0)):
        config = keras.saving.serialize_keras_object(scorer)
        again = keras.saving.deserialize_keras_object(config)
        assert type(again) is type(scorer)
        values = np.array([[-1.0, -9.0, 0.0]], "float32")
        mask = values < 0
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(again(values, mask)),
            keras.ops.convert_to_numpy(scorer(values, mask)),
        )
