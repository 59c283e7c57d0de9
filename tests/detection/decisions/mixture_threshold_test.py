"""A mixture flags a group that stands apart, and nothing else."""

import numpy as np
import pytest

from keras_byorn.detection.decisions import MixtureThreshold
from keras_byorn.detection.decisions.mixture_threshold import ashman_d


@pytest.mark.parametrize(
    "kwargs",
    [
        {"max_fraction": 0.0},
        {"max_fraction": 1.0},
        {"max_fraction": float("nan")},
        {"min_separation": 0.0},
        {"min_separation": float("nan")},
    ],
)
def test_mixture_arguments_outside_their_range_are_refused(kwargs):
    """The message repeats the argument that came."""
    (name,) = kwargs
    with pytest.raises(ValueError, match=f"`{name}`.*Received: {name}="):
        MixtureThreshold(**kwargs)


def one_gaussian(rng):
    return rng.normal(-2.0, 0.6, 800)


def skewed(rng):
    """Most near zero and a long tail below, as clean scores are."""
    return -rng.gamma(2.0, 0.5, 800)


def heavy_tailed(rng):
    return -np.exp(rng.normal(-1.0, 0.7, 800))


def uniform(rng):
    return rng.uniform(-3.0, -1.0, 800)


@pytest.mark.parametrize("draw", [one_gaussian, skewed, heavy_tailed])
@pytest.mark.parametrize("seed", range(4))
def test_mixture_flags_next_to_nothing_in_one_group(draw, seed, flagged):
    """Clean data stay clean: a mixture always splits, but must not flag."""
    scores = draw(np.random.default_rng(seed))
    assert flagged(MixtureThreshold(), scores, seed).mean() <= 0.02


@pytest.mark.parametrize("seed", range(4))
def test_mixture_flags_next_to_nothing_in_a_flat_group(seed, flagged):
    """Two Gaussians fit a flat group at D = 3.5, yet nothing stands apart."""
    scores = uniform(np.random.default_rng(seed))
    assert flagged(MixtureThreshold(), scores, seed).mean() <= 0.02


@pytest.mark.parametrize("share", [0.02, 0.1, 0.4])
@pytest.mark.parametrize("seed", range(3))
def test_mixture_finds_a_separate_group(share, seed, flagged):
    """Two groups eight widths apart are told apart almost perfectly."""
    rng = np.random.default_rng(seed)
    is_low = rng.random(1000) < share
    scores = np.where(is_low, -8.0, -1.0) + rng.normal(0, 0.6, 1000)
    flags = flagged(MixtureThreshold(), scores, seed)
    assert np.mean(flags == is_low) > 0.995


def test_mixture_flags_the_lower_group_even_where_it_is_wide(flagged):
    """A wide low component wins again far above; plausible stays plausible."""
    rng = np.random.default_rng(0)
    scores = np.concatenate(
        [rng.normal(-9.0, 2.0, 150), rng.normal(-1.0, 0.1, 850), [0.0, -0.01]]
    )
    flags = flagged(MixtureThreshold(), scores)
    assert flags[:150].mean() > 0.98
    assert not flags[150:].any()


def test_mixture_never_flags_a_majority(flagged):
    """Suspects are a minority: `max_fraction` bounds the lower group."""
    rng = np.random.default_rng(0)
    scores = np.concatenate(
        [rng.normal(-8.0, 0.5, 300), rng.normal(-1.0, 0.5, 700)]
    )
    assert flagged(MixtureThreshold(), scores).sum() == 300
    assert flagged(MixtureThreshold(max_fraction=0.2), scores).sum() == 0
    turned = -9.0 - scores
    assert flagged(MixtureThreshold(), turned).sum() == 0
    assert flagged(MixtureThreshold(max_fraction=0.8), turned).sum() == 700


def test_mixture_demands_the_separation_that_is_asked(flagged):
    """Two groups pass one bar and fail a higher one."""
    rng = np.random.default_rng(0)
    scores = np.concatenate(
        [rng.normal(-5.0, 0.5, 200), rng.normal(-1.0, 0.5, 800)]
    )
    assert ashman_d([-5.0, -1.0], [0.25, 0.25]) == pytest.approx(8.0)
    assert flagged(MixtureThreshold(min_separation=7.0), scores).sum() == 200
    assert flagged(MixtureThreshold(min_separation=9.0), scores).sum() == 0


def test_mixture_is_deterministic():
    """Equal scores and seeds give equal cuts."""
    scores = skewed(np.random.default_rng(0))
    scores[:60] -= 9
    cuts = {MixtureThreshold().fit(scores, seed=3).cut for _ in range(2)}
    assert len(cuts) == 1


@pytest.mark.parametrize("scores", [[-1.0], [-1.0] * 50, [-1.0, -2.0]])
def test_mixture_flags_nothing_where_there_is_nothing_to_fit(scores, flagged):
    """Equal scores or next to none are no reason to crash or to flag."""
    assert not flagged(MixtureThreshold(), scores).any()


def test_zero_suspects_is_said():
    """Training goes on as if undefended, and not silently."""
    scores = one_gaussian(np.random.default_rng(0))
    threshold = MixtureThreshold()
    with pytest.warns(UserWarning, match="No example is suspect.*FlagFraction"):
        threshold.fit(scores)
    assert threshold.cut == -np.inf and "D = " in threshold.reason


@pytest.mark.parametrize("seed", range(3))
def test_mixture_finds_two_attacks_at_once(seed, flagged):
    """A crude attack must not hide a subtle one between it and the clean."""
    rng = np.random.default_rng(seed)
    scores = np.concatenate(
        [
            rng.normal(-11.0, 0.6, 50),
            rng.normal(-2.7, 0.5, 50),
            rng.normal(-0.5, 0.08, 900),
        ]
    )
    flags = flagged(MixtureThreshold(), scores, seed)
    assert flags[:100].mean() > 0.97 and flags[100:].mean() < 0.01


def test_mixture_finds_half(flagged):
    """Half of the data poisoned is a group like any other."""
    rng = np.random.default_rng(0)
    scores = np.concatenate(
        [rng.normal(-8.0, 0.5, 500), rng.normal(-1.0, 0.5, 500)]
    )
    assert flagged(MixtureThreshold(), scores).sum() == 500
