"""Detectors to compare with: by chance, and by the truth."""

import keras
import numpy as np
import pytest

from keras_byorn.baselines import OracleFlags, RandomFlags
from keras_byorn.detection.decisions import FlagFraction
from keras_byorn.detection.detector import Detector
from keras_byorn.detection.scorers import MeanLogLikelihood
from keras_byorn.detection.token_scores import TokenScores

COUNT = 200


def make():
    """Token scores and texts, the first the least plausible."""
    values = np.linspace(-9, -1, COUNT).astype("float32")[:, None]
    scores = TokenScores(values, values / 2, np.ones((COUNT, 1), bool))
    responses = [f"answer {index}" for index in range(COUNT)]
    ids = [f"scene-{index}" for index in range(COUNT)]
    return scores, ["describe"] * COUNT, responses, ids


def flags(detector):
    return detector.decide(*make()).suspects


def test_random_flags_keep_the_rate_and_lose_the_aim():
    """As many as the decision says, but any of them, by their seed."""
    arguments = {"decision": FlagFraction(0.3), "verbose": 0}
    aimed = flags(Detector(**arguments))
    assert aimed.tolist() == [True] * 60 + [False] * 140
    first, again, other = (
        flags(RandomFlags(seed=seed, **arguments)) for seed in (0, 0, 1)
    )
    assert first.sum() == other.sum() == 60
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert 5 < first[:60].sum() < 35


def test_random_flags_say_so():
    """Plausibilities are the true ones, reasons are not about them."""
    detector = RandomFlags(decision=FlagFraction(0.3), verbose=0)
    detection = detector.decide(*make())
    assert np.all(np.diff(detection.plausibility) > 0)
    assert detection.reason == (
        "as many as FlagFraction(flag_fraction=0.3, softness=0.0) flags, "
        "by chance"
    )
    expected = ["by chance" if flag else "" for flag in detection.suspects]
    assert detection.reasons == expected


def test_oracle_flags_are_the_truth():
    """However plausible the examples are."""
    poisoned = {"scene-3", "scene-150"}
    detection = OracleFlags(poisoned, verbose=0).decide(*make())
    assert np.flatnonzero(detection.suspects).tolist() == [3, 150]
    assert detection.reasons[150] == "poisoned" and detection.reasons[4] == ""
    assert detection.reason == "the truth"
    assert np.isnan(detection.cuts).all()


def test_copies_of_the_flagged_are_not_flagged():
    """The rate is the decision's, and the truth is the truth."""
    scores, prompts, _, ids = make()
    responses = ["call this number now"] * COUNT
    poisoned = ids[:190]
    with pytest.warns(UserWarning, match=r"190 of 200 \(95.0 %\)"):
        detection = OracleFlags(poisoned, verbose=0).decide(
            scores, prompts, responses, ids
        )
    assert detection.suspects.sum() == 190
    detector = RandomFlags(decision=FlagFraction(0.9), verbose=0)
    detection = detector.decide(scores, prompts, responses, ids)
    assert detection.suspects.sum() == 180


def test_the_oracle_refuses_ids_that_it_does_not_know():
    """A run with half of the truth would be told as the oracle's."""
    with pytest.raises(ValueError, match="`poisoned_ids`.*1 unknown.*'other'"):
        OracleFlags({"scene-1", "other"}, verbose=0).decide(*make())


def test_no_student_judges_again():
    """The flags would no longer be by chance, or the truth."""
    for detector in (
        RandomFlags(decision=FlagFraction(0.3), verbose=0),
        OracleFlags({"scene-0"}, verbose=0),
    ):
        assert not detector.allows_review
        assert not detector.decide(*make()).allows_review
    assert Detector.allows_review


@pytest.mark.parametrize(
    "detector",
    [
        RandomFlags(decision=FlagFraction(0.3), seed=5),
        OracleFlags(["b", "a"], scorer=MeanLogLikelihood(), verbose=0),
    ],
    ids=repr,
)
def test_baselines_survive_saving(detector):
    """With the truth that they were told."""
    config = keras.saving.serialize_keras_object(detector)
    again = keras.saving.deserialize_keras_object(config)
    assert type(again) is type(detector)
    assert again.get_config() == detector.get_config()
    if isinstance(detector, OracleFlags):
        assert again.poisoned_ids == {"a", "b"}
