"""A fixed share of the examples is flagged, and never all."""

import numpy as np
import pytest

from keras_byorn import TokenScores
from keras_byorn.detection.dataset_scores import DatasetScores
from keras_byorn.detection.decisions import FlagFraction


@pytest.mark.parametrize("size", [2, 5, 10, 999])
@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.25, 0.4, 0.9])
def test_flag_fraction_flags_exactly_so_many(size, fraction, flagged):
    """The least plausible, and as many as was said, to one example."""
    scores = -np.random.default_rng(size).gamma(2.0, 1.0, size)
    flags = flagged(FlagFraction(fraction), scores)
    count = min(round(fraction * size), size - 1)
    assert flags.sum() == count
    least = set(np.argsort(scores)[:count])
    assert set(np.flatnonzero(flags)) == least


def test_flag_fraction_keeps_one(flagged):
    """A share that rounds up to all still leaves something to train on."""
    assert list(flagged(FlagFraction(0.9), [-1.0, -2.0])) == [False, True]


def test_the_cut_lies_between_its_neighbours():
    """A score that comes out a little different later falls the same way."""
    threshold = FlagFraction(0.25).fit([-9.0, -1.0, -2.0, -1.5])
    assert threshold.cut == -5.5
    assert list(threshold.suspect_probability_of([-5.6, -5.4])) == [1.0, 0.0]


@pytest.mark.parametrize("fraction", [-0.1, 1.0, 1.5, float("nan")])
def test_a_fraction_outside_its_range_is_refused(fraction):
    """40 meant as per cent must not flag everything."""
    with pytest.raises(ValueError, match=r"\[0, 1\).*MixtureThreshold.*="):
        FlagFraction(fraction)


def test_ties_at_the_cut_are_flagged_together(flagged):
    """A fixed target may score the same each time: all of it is suspect."""
    scores = [-3.0, -3.0, -3.0, -3.0, -2.0, -1.0, -1.0, -0.5]
    assert list(flagged(FlagFraction(0.25), scores)) == [True] * 4 + [False] * 4
    scores = [-3.0, -1.0, -1.0, -1.0]  # tied up to the best: those stay
    assert list(flagged(FlagFraction(0.5), scores)) == [True] + [False] * 3


def test_a_cut_between_neighbours_in_float32_tells_them_apart(flagged):
    """The mean of two adjacent floats is one of them, and must not flag it."""
    low = np.float32(-1.0)
    high = np.nextafter(low, np.float32(0))
    assert list(flagged(FlagFraction(0.5), [low, high])) == [True, False]


def test_a_fraction_is_taken_of_all_examples():
    """A prompt of one's own excuses nothing: all are ranked together."""
    scores = np.concatenate([np.linspace(-9, -8, 50), np.linspace(-2, -1, 100)])
    found = DatasetScores(
        TokenScores(scores[:, None], None, np.ones((150, 1), bool)),
        ["a"] * 50 + ["b"] * 100,
        ["yes"] * 150,
        [str(index) for index in range(150)],
    )
    flags = FlagFraction(0.4).decide(scores.astype("float32"), found)
    assert flags.suspect_probability[:50].all()
    assert flags.suspect_probability.sum() == 60
