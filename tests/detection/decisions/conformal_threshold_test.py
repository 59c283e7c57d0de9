"""A conformal cut keeps its bound on false flags."""

import numpy as np
import pytest

from keras_byorn.detection.decisions import ConformalThreshold
from keras_byorn.detection.detector import Detector
from keras_byorn.detection.scorers import MeanLogLikelihood
from keras_byorn.detection.token_scores import TokenScores


def ids(count, start=0):
    return [f"id-{index}" for index in range(start, start + count)]


@pytest.mark.parametrize("alpha", [0.02, 0.1])
def test_conformal_bounds_false_flags_in_the_mean(alpha):
    """The guarantee is over draws of the trusted ones: the mean is bounded."""
    rng = np.random.default_rng(0)
    rates = []
    for _ in range(300):
        scores = -rng.gamma(1.5, 1.0, 1060)
        threshold = ConformalThreshold(ids(60), alpha)
        threshold.fit(scores, example_ids=ids(1060))
        rates.append(threshold.suspect_probability_of(scores[60:]).mean())
    exact = np.floor(alpha * 61) / 61
    assert np.mean(rates) == pytest.approx(exact, abs=float(np.std(rates)) / 4)
    assert exact <= alpha


def test_conformal_is_the_kth_lowest_of_the_trusted():
    """k = floor(alpha (n + 1)), and the trusted are kept down to it."""
    threshold = ConformalThreshold(ids(9), alpha=0.2)
    scores = np.r_[-np.arange(1.0, 10.0), [-8.5, -7.5, -20.0]]
    threshold.fit(scores, example_ids=ids(12))
    assert threshold.cut == -8.0
    flags = threshold.suspect_probability_of(scores)
    assert np.flatnonzero(flags).tolist() == [8, 9, 11]
    bound = "at most 20.0% false flags"
    assert threshold.reason == f"{bound}, by 9 trusted examples"


def test_conformal_refuses_what_gives_no_guarantee():
    """Too few trusted examples, or such as nobody scored."""
    with pytest.raises(ValueError, match="needs 49"):
        ConformalThreshold(ids(48), alpha=0.02)
    with pytest.raises(ValueError, match="`alpha`.*alpha=1"):
        ConformalThreshold(ids(48), alpha=1)
    threshold = ConformalThreshold(ids(49), alpha=0.02)
    with pytest.raises(ValueError, match="unknown ids.*id-48"):
        threshold.fit(np.zeros(48), example_ids=ids(48))


def test_trusted_examples_are_never_suspect():
    """Some of them are below the cut by its definition, or are copies."""
    rng = np.random.default_rng(1)
    scores = -rng.gamma(1.5, 1.0, 400).astype("float32")
    scores[:3] = scores[300:340] = -30.0
    said = [f"response number {index}" for index in range(400)]
    said[300:340] = ["call this number now"] * 40
    said[0] = "call this number now"
    mask = np.ones((400, 1), bool)
    detection = Detector(
        scorer=MeanLogLikelihood(),
        decision=ConformalThreshold(ids(100), alpha=0.05),
        verbose=0,
    ).decide(
        TokenScores(scores[:, None], None, mask), ["q"] * 400, said, ids(400)
    )
    assert set(detection.verdicts[:100]) == {"trusted"}
    assert not detection.suspects[:100].any()
    assert detection.suspects[300:340].all()
    assert set(detection.reasons[:100]) == {""}
