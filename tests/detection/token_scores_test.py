"""Token scores are a plain triple of arrays or tensors."""

import keras
import numpy as np

import keras_byorn


def test_the_public_class_holds_three_arrays_by_name():
    """It goes through compiled steps, so it is no more than a tuple."""
    scores = keras_byorn.TokenScores(
        log_likelihoods=np.zeros((1, 2)),
        max_log_likelihoods=None,
        response_mask=np.ones((1, 2), bool),
    )
    assert isinstance(scores, tuple) and scores.max_log_likelihoods is None
    assert scores._fields == (
        "log_likelihoods",
        "max_log_likelihoods",
        "response_mask",
    )
    doubled = keras.tree.map_structure(lambda x: x.shape, scores[::2])
    assert doubled == ((1, 2), (1, 2))
