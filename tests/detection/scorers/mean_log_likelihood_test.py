"""Mean log-likelihood: per response token, low where implausible."""

import keras
import numpy as np

from keras_byorn.detection.scorers import MeanLogLikelihood


def test_mean_log_likelihood_is_per_response_token(to_numpy):
    """Long responses are not implausible for being long."""
    log_likelihoods = np.array(
        [[-5.0, -1.0, -3.0, -9.0], [-2.0, -2.0, -2.0, -2.0], [-1, -1, -1, -1]],
        "float32",
    )
    mask = np.array([[0, 1, 1, 0], [1, 1, 1, 1], [0, 0, 0, 0]], bool)
    scores = MeanLogLikelihood()(log_likelihoods, mask)
    assert keras.backend.standardize_dtype(scores.dtype) == "float32"
    np.testing.assert_allclose(to_numpy(scores), [-2.0, -2.0, 0.0])


def test_a_data_set_is_scored_as_its_batches_are(make_random_scores, to_numpy):
    """In float32."""
    scores = make_random_scores()
    found = MeanLogLikelihood().score(scores)
    assert isinstance(found, np.ndarray) and found.dtype == "float32"
    expected = [
        values[mask].astype("float64").mean()
        for values, mask in zip(scores.log_likelihoods, scores.response_mask)
    ]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    batch = to_numpy(MeanLogLikelihood()(scores))
    np.testing.assert_allclose(batch, found, atol=1e-6)
