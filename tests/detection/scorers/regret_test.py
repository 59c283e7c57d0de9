"""Regret: the distance to the likeliest tokens."""

import keras
import numpy as np
import pytest

from keras_byorn.detection.scorers import MeanLogLikelihood, Regret, WorstSpan
from keras_byorn.detection.token_scores import TokenScores
from keras_byorn.vlm.response_logits import chosen_and_max


def test_regret_forgives_an_open_choice(to_numpy):
    """An unlikely token that is the likeliest one costs nothing."""
    logits = np.log([[[0.2] * 5, [0.9, 0.04, 0.02, 0.02, 0.02]]])
    y, mask = np.array([[3, 1]]), np.ones((1, 2), bool)
    found = chosen_and_max(keras.ops.convert_to_tensor(logits, "float32"), y)
    scores = TokenScores(*found, mask)
    expected = np.log(0.04 / 0.9)
    regret = to_numpy(Regret()(scores))
    np.testing.assert_allclose(regret, expected / 2, atol=1e-5)
    span = to_numpy(WorstSpan(1, of=Regret())(scores))
    np.testing.assert_allclose(span, expected, atol=1e-5)


def test_greedy_decoding_has_no_regret(make_scores):
    """However unlikely its tokens are."""
    values = np.array([[-3.0, -9.0], [-3.0, -9.0]], "float32")
    maxima = np.array([[-3.0, -9.0], [-2.0, -9.0]], "float32")
    scores = make_scores({"None": values}, np.ones((2, 2), bool), maxima)
    assert Regret().score(scores).tolist() == [0.0, -0.5]


@pytest.mark.parametrize("scorer", [Regret(), WorstSpan(2, of=Regret())])
def test_regret_needs_the_likeliest_tokens(scorer, make_scores):
    """They cannot be guessed; another scorer does without."""
    scores = make_scores({"None": [[-1.0]]}, [[True]])
    message = "`max_log_likelihoods`.*MeanLogLikelihood.*=None"
    with pytest.raises(ValueError, match=message):
        scorer.score(scores)
    with pytest.raises(ValueError, match=message):
        scorer(np.array([[-1.0]], "float32"), np.array([[True]]))
    assert MeanLogLikelihood().score(scores).tolist() == [-1.0]
