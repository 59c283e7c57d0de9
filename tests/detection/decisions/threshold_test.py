"""The contract of every threshold."""

import keras
import numpy as np
import pytest

from keras_byorn.detection.dataset_scores import DatasetScores
from keras_byorn.detection.decisions import (
    ConformalThreshold,
    FlagFraction,
    MixtureThreshold,
    Threshold,
)
from keras_byorn.detection.decisions.threshold import between
from keras_byorn.detection.token_scores import TokenScores


@keras.saving.register_keras_serializable(package="thresholds_test")
class FlagAll(Threshold):
    """Flags whatever comes."""

    def find_cut(self, plausibility, seed):
        return np.inf, "everything"


def test_flagging_everything_is_refused():
    """Nothing would be left for the first epoch."""
    with pytest.raises(ValueError, match="FlagAll.*flags all 3 examples"):
        FlagAll().fit([-1.0, -2.0, -3.0])


@pytest.mark.parametrize("bad", [np.nan, -np.inf])
def test_scores_that_are_not_finite_are_refused(bad):
    """An overflow in half precision must not pass for a suspect."""
    with pytest.raises(ValueError, match="3 scores, 1 of them not finite"):
        FlagFraction().fit([-1.0, bad, -2.0])
    with pytest.raises(ValueError, match="0 scores"):
        FlagFraction().fit([])


def test_an_unfitted_threshold_is_refused():
    """A stream needs a cut before its first step."""
    with pytest.raises(ValueError, match="fit.*FlagFraction.*not fitted"):
        FlagFraction()(keras.ops.zeros((2,)))


@pytest.mark.parametrize(
    "threshold",
    [
        FlagFraction(0.3),
        FlagFraction(0.3, cut=-2.5),
        MixtureThreshold(min_separation=3.0, max_fraction=0.25, cut=-1.5),
        MixtureThreshold(cut=-np.inf),
        MixtureThreshold(softness=0.5, cut=-1.5),
        ConformalThreshold(["a", "b", "c"], alpha=0.25, cut=-1.5),
    ],
)
def test_thresholds_survive_saving(threshold):
    """A fitted threshold is part of a saved model."""
    config = keras.saving.serialize_keras_object(threshold)
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is type(threshold)
    assert again.get_config() == threshold.get_config()
    if threshold.cut is not None:
        scores = [-9.0, -2.0, -1.0]
        np.testing.assert_array_equal(
            again.suspect_probability_of(scores),
            threshold.suspect_probability_of(scores),
        )


def test_softness_is_the_width_of_the_step():
    """A logistic curve through one half at the cut."""
    threshold = FlagFraction(softness=0.5, cut=-2.0)
    probability = threshold.suspect_probability_of([-2.0, -2.5, -1.0, -99.0])
    expected = [0.5, 1 / (1 + np.exp(-1.0)), 1 / (1 + np.exp(2.0)), 1.0]
    np.testing.assert_allclose(probability, expected, atol=1e-6)
    nothing = FlagFraction(softness=0.5, cut=-np.inf)
    assert nothing.suspect_probability_of([-9.0])[0] == 0.0
    with pytest.raises(ValueError, match="`softness`.*softness=-1"):
        FlagFraction(softness=-1)


def make_scores(plausibility):
    """Scores of responses of one token to two common prompts."""
    count = len(plausibility)
    values = np.asarray(plausibility, "float32")[:, None]
    return DatasetScores(
        TokenScores(values, None, np.ones((count, 1), bool)),
        ["describe the image"] * (count // 2) + ["what is it"] * (count // 2),
        [f"answer {index}" for index in range(count)],
        range(count),
    )


def test_a_decision_says_why():
    """One cut over all prompts, and a reason for suspects alone."""
    plausibility = np.concatenate(
        [np.linspace(-9, -8, 200), np.linspace(-2, -1, 200)]
    )
    scores = make_scores(plausibility)
    threshold = FlagFraction(0.25)
    flags = threshold.decide(scores.log_likelihoods[:, 0], scores)
    suspects = flags.suspect_probability >= 0.5
    assert np.flatnonzero(suspects).tolist() == list(range(100))
    assert flags.suspect_probability.dtype == flags.cuts.dtype == "float32"
    assert set(flags.groups) == {"all"}
    np.testing.assert_array_equal(suspects, plausibility < flags.cuts)
    assert (
        flags.reasons[0] == f"less plausible than the cut, {flags.cuts[0]:.3g}"
    )
    assert flags.reasons[100] == ""
    assert flags.reason == "the least plausible 25%"


def test_a_cut_between_scores_is_above_the_lower_one():
    """In float32, in which it is applied."""
    assert between(-3.0, -1.0) == -2.0
    low = np.float32(-1.0)
    high = np.nextafter(low, np.float32(0))
    assert low < np.float32(between(low, high)) <= high
