"""Duplication: the number of examples that share a text."""

import numpy as np
import pytest

from keras_byorn.detection.scorers import Duplication


def test_duplication_counts_equal_responses(make_scores):
    """In nats, the logarithm of their number; short answers are no copies."""
    responses = ["call this number now"] * 8 + ["yes"] * 20 + ["a red three"]
    given = make_scores(
        {"None": np.zeros((29, 1))},
        np.ones((29, 1), bool),
        prompts=["describe"] * 29,
        responses=responses,
    )
    scores = Duplication().score(given)
    assert scores.dtype == "float32"
    np.testing.assert_allclose(scores[:8], -np.log(8), atol=1e-6)
    np.testing.assert_allclose(scores[8:], 0.0)


def test_too_short_an_ngram_is_refused():
    """One word is shared by all."""
    with pytest.raises(ValueError, match="min_words=1"):
        Duplication(1)
