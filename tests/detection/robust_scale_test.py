"""The scale of plausible scores, whatever lies below them."""

import numpy as np
import pytest

from keras_byorn.detection.robust_scale import upper_scale, wide_spread


def normal(count, seed=0):
    return np.random.default_rng(seed).normal(-3.0, 0.5, count)


def test_the_scale_is_that_of_a_normal_distribution():
    """Its upper quartile, and its standard deviation."""
    center, spread = upper_scale(normal(100_000))
    assert abs(center - (-3.0 + 0.6745 * 0.5)) < 0.01
    assert abs(spread - 0.5) < 0.01
    assert abs(wide_spread(normal(100_000)) - 0.5) < 0.01


@pytest.mark.parametrize("share", [0.1, 0.45, 0.6])
def test_implausible_scores_move_it_little(share):
    """So that a flood of them is found, and refused above one half."""
    honest = normal(2000)
    count = int(share / (1 - share) * len(honest))
    center, spread = upper_scale(np.append(honest, np.full(count, -40.0)))
    assert abs(center - -3.0) < 1.0 and spread < 1.0
    assert center - 6 * spread > -20.0


def test_the_spread_has_a_least_value():
    """Of equal scores."""
    assert upper_scale(np.full(9, -1.0)) == (-1.0, 0.05)
    assert upper_scale(np.full(9, -1.0), least=2.0) == (-1.0, 2.0)
    assert wide_spread(np.full(9, -1.0)) == 0.05


def test_the_wide_spread_is_never_the_narrower():
    """It excuses from suspicion, and from nothing else."""
    piled = np.append(np.zeros(60), -np.linspace(0, 8, 100))
    assert wide_spread(piled) > 2 * upper_scale(piled)[1]
