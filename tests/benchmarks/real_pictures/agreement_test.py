"""Agreement of scores with ratings, on tables that are counted by hand."""

import numpy as np
import pytest
from real_pictures import agreement as module
from real_pictures.agreement import agreement, resampled, statistics

IMAGES = ["a", "a", "b", "b"]


def test_statistics_of_a_small_table():
    """Of six pairs of pairs four agree, one does not, and one is tied."""
    figures = statistics(
        np.array([1.0, 2.0, 3.0, 4.0]),
        np.array([[1.0], [3.0], [2.0], [3.0]]),
        np.array([False, True, False, True]),
    )
    # Stuart's: 2 m (P - Q) / (n^2 (m - 1)), with m = 3 values, n = 4.
    assert figures["tau_c"] == pytest.approx(2 * 3 * (4 - 1) / (16 * 2))
    assert figures["tau_b"] == pytest.approx((4 - 1) / np.sqrt(5 * 6))
    assert figures["auroc"] == 0.75


def test_each_judge_is_a_row():
    """Two judges that disagree halve what one says."""
    scores, fits = np.array([0.0, 1.0]), np.array([False, True])
    both = statistics(scores, np.array([[1.0, 1.0], [1.0, 2.0]]), fits)
    rows = np.array([[1.0], [1.0], [1.0], [2.0]])
    flat = statistics(np.repeat(scores, 2), rows, np.repeat(fits, 2))
    assert both["tau_b"] == pytest.approx(flat["tau_b"])
    assert both["tau_b"] < 1.0


def test_pictures_are_drawn_whole():
    """All pairs of a picture, as often as it is drawn."""
    for rows in resampled(IMAGES, seed=0, resamples=20):
        counts = np.bincount(rows, minlength=4)
        assert len(rows) == 4
        assert counts[0] == counts[1] and counts[2] == counts[3]
    first = [rows.tolist() for rows in resampled(IMAGES, 1, 5)]
    assert first == [rows.tolist() for rows in resampled(IMAGES, 1, 5)]


def test_intervals_hold_the_figures():
    """And are narrow where many pictures say the same."""
    rng = np.random.default_rng(0)
    ratings = rng.integers(1, 5, size=(300, 3)).astype(float)
    scores = ratings.mean(axis=1) + rng.normal(size=300)
    fits = ratings.mean(axis=1) > 2.5
    images = [str(index // 3) for index in range(300)]
    figures = agreement(scores, ratings, fits, images, resamples=50)
    for name in ("tau_c", "tau_b", "auroc"):
        low, high = figures[f"{name}_low"], figures[f"{name}_high"]
        assert low < figures[name] < high < low + 0.3
    assert figures["auroc_low"] > 0.5
    assert module.RESAMPLES >= 100


def test_nothing_to_tell_apart_is_refused():
    ratings = np.ones((4, 1))
    with pytest.raises(ValueError, match="Received: 0 of 4"):
        agreement(np.arange(4), ratings, np.zeros(4, bool), IMAGES)
    with pytest.raises(ValueError, match="Received: 1 that are not"):
        scores = [0.0, 1.0, np.nan, 2.0]
        agreement(scores, ratings, np.arange(4) > 1, IMAGES)
