"""Thresholds flag what stands apart, in known numbers, and never all."""

import warnings

import keras
import numpy as np
import pytest

from keras_byorn.detection.groups import ALL
from keras_byorn.detection.decisions import (
    ConformalThreshold,
    FlagFraction,
    MixtureThreshold,
    Threshold,
)
from keras_byorn.detection.decisions.mixture_threshold import ashman_d


@keras.saving.register_keras_serializable(package="thresholds_test")
class FlagAll(Threshold):
    """Flags whatever comes."""

    def find_cut(self, plausibility, seed):
        return np.inf, "everything"


def flagged(threshold, scores, seed=0):
    """Which scores a threshold flags after its fit, and silently so."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        threshold.fit(scores, seed=seed)
    probability = threshold.suspect_probability_of(scores)
    assert probability.dtype == "float32"
    assert set(probability) <= {0.0, 1.0}
    return probability == 1.0


@pytest.mark.parametrize("size", [2, 5, 10, 999])
@pytest.mark.parametrize("fraction", [0.0, 0.1, 0.25, 0.4, 0.9])
def test_flag_fraction_flags_exactly_so_many(size, fraction):
    """The least plausible, and as many as was said, to one example."""
    scores = -np.random.default_rng(size).gamma(2.0, 1.0, size)
    flags = flagged(FlagFraction(fraction), scores)
    count = min(round(fraction * size), size - 1)
    assert flags.sum() == count
    least = set(np.argsort(scores)[:count])
    assert set(np.flatnonzero(flags)) == least


def test_flag_fraction_keeps_one():
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
def test_mixture_flags_next_to_nothing_in_one_group(draw, seed):
    """Clean data stay clean: a mixture always splits, but must not flag."""
    scores = draw(np.random.default_rng(seed))
    assert flagged(MixtureThreshold(), scores, seed).mean() <= 0.02


@pytest.mark.parametrize("seed", range(4))
def test_mixture_flags_next_to_nothing_in_a_flat_group(seed):
    """Two Gaussians fit a flat group at D = 3.5, yet nothing stands apart."""
    scores = uniform(np.random.default_rng(seed))
    assert flagged(MixtureThreshold(), scores, seed).mean() <= 0.02


@pytest.mark.parametrize("share", [0.02, 0.1, 0.4])
@pytest.mark.parametrize("seed", range(3))
def test_mixture_finds_a_separate_group(share, seed):
    """Two groups eight widths apart are told apart almost perfectly."""
    rng = np.random.default_rng(seed)
    is_low = rng.random(1000) < share
    scores = np.where(is_low, -8.0, -1.0) + rng.normal(0, 0.6, 1000)
    flags = flagged(MixtureThreshold(), scores, seed)
    assert np.mean(flags == is_low) > 0.995


def test_mixture_flags_the_lower_group_even_where_it_is_wide():
    """A wide low component wins again far above; plausible stays plausible."""
    rng = np.random.default_rng(0)
    scores = np.concatenate(
        [rng.normal(-9.0, 2.0, 150), rng.normal(-1.0, 0.1, 850), [0.0, -0.01]]
    )
    flags = flagged(MixtureThreshold(), scores)
    assert flags[:150].mean() > 0.98
    assert not flags[150:].any()


def test_mixture_never_flags_a_majority():
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


def test_mixture_demands_the_separation_that_is_asked():
    """The same two groups pass one bar and fail a higher one."""
    rng = np.random.default_rng(0)
    scores = np.concatenate(
        [rng.normal(-5.0, 0.5, 200), rng.normal(-1.0, 0.5, 800)]
    )
    assert ashman_d([-5.0, -1.0], [0.25, 0.25]) == pytest.approx(8.0)
    assert flagged(MixtureThreshold(min_separation=7.0), scores).sum() == 200
    assert flagged(MixtureThreshold(min_separation=9.0), scores).sum() == 0


def test_mixture_is_deterministic():
    """Same scores and seed, same cut."""
    scores = skewed(np.random.default_rng(0))
    scores[:60] -= 9
    cuts = {MixtureThreshold().fit(scores, seed=3).cut for _ in range(2)}
    assert len(cuts) == 1


@pytest.mark.parametrize("scores", [[-1.0], [-1.0] * 50, [-1.0, -2.0]])
def test_mixture_flags_nothing_where_there_is_nothing_to_fit(scores):
    """Equal scores or next to none are no reason to crash or to flag."""
    assert not flagged(MixtureThreshold(), scores).any()


def test_zero_suspects_is_said():
    """Nothing silent: training goes on as if undefended, and says so."""
    scores = one_gaussian(np.random.default_rng(0))
    threshold = MixtureThreshold()
    with pytest.warns(UserWarning, match="No example is suspect.*FlagFraction"):
        threshold.fit(scores)
    assert threshold.cut == -np.inf and "D = " in threshold.reason


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


def test_ties_at_the_cut_are_flagged_together():
    """A fixed target may score the same each time: all of it is suspect."""
    scores = [-3.0, -3.0, -3.0, -3.0, -2.0, -1.0, -1.0, -0.5]
    assert list(flagged(FlagFraction(0.25), scores)) == [True] * 4 + [False] * 4
    scores = [-3.0, -1.0, -1.0, -1.0]  # tied up to the best: those stay
    assert list(flagged(FlagFraction(0.5), scores)) == [True] + [False] * 3


def test_a_cut_between_neighbours_in_float32_tells_them_apart():
    """The mean of two adjacent floats is one of them, and must not flag it."""
    low = np.float32(-1.0)
    high = np.nextafter(low, np.float32(0))
    assert list(flagged(FlagFraction(0.5), [low, high])) == [True, False]


@pytest.mark.parametrize("seed", range(3))
def test_mixture_finds_two_attacks_at_once(seed):
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


def test_mixture_finds_half():
    """Half of the data poisoned is a group like any other."""
    rng = np.random.default_rng(0)
    scores = np.concatenate(
        [rng.normal(-8.0, 0.5, 500), rng.normal(-1.0, 0.5, 500)]
    )
    assert flagged(MixtureThreshold(), scores).sum() == 500


def test_each_group_has_its_own_cut():
    """A kind of prompt that is harder for all is no reason to doubt it."""
    rng = np.random.default_rng(0)
    hard, easy = rng.normal(-4.0, 0.3, 400), rng.normal(-0.5, 0.1, 600)
    easy[:30] -= 6.0
    scores = np.concatenate([hard, easy])
    groups = ["hard"] * 400 + ["easy"] * 600
    threshold = MixtureThreshold()
    assert flagged(threshold, scores)[:400].all()  # all in one: wrong
    threshold.fit(scores, groups)
    flags = threshold.suspect_probability_of(scores, groups)
    assert np.flatnonzero(flags).tolist() == list(range(400, 430))
    assert threshold.cuts["hard"] == -np.inf
    assert -6.5 < threshold.cuts["easy"] < -0.5
    assert set(threshold.cuts_of(["hard", "easy", "new"])) == set(
        np.float32([-np.inf, threshold.cuts["easy"]])
    )


def test_a_length_is_judged_by_its_whole_group():
    """All poisoned at one length: its own company must not excuse it."""
    rng = np.random.default_rng(0)
    scores = np.r_[rng.normal(-9.0, 0.3, 300), rng.normal(-0.5, 0.1, 300)]
    parts = [ALL.of_length(5, 5)] * 300 + [ALL.of_length(7, 9)] * 300
    threshold = MixtureThreshold().fit(scores, parts)
    flags = threshold.suspect_probability_of(scores, parts)
    assert flags[:300].all() and not flags[300:].any()


def test_a_fraction_is_taken_of_each_group():
    """Of 40 % in all, no group loses more than 40 %."""
    scores = np.concatenate([np.linspace(-9, -8, 100), np.linspace(-2, -1, 50)])
    groups = ["a"] * 100 + ["b"] * 50
    threshold = FlagFraction(0.4).fit(scores, groups)
    flags = threshold.suspect_probability_of(scores, groups)
    assert (flags[:100].sum(), flags[100:].sum()) == (40, 20)


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


def test_conformal_by_group_where_enough_are_trusted():
    """A group with too few trusted ones is judged by all trusted ones."""
    scores = np.r_[np.full(40, -5.0), np.full(3, -1.0), [-6.0, -3.0]]
    groups = ["a"] * 40 + ["b"] * 3 + ["a", "b"]
    threshold = ConformalThreshold(ids(43), alpha=0.05)
    threshold.fit(scores, groups, ids(45))
    assert set(threshold.cuts) == {"all", "a"}
    flags = threshold.suspect_probability_of(scores, groups)
    assert np.flatnonzero(flags).tolist() == [43]


def test_conformal_refuses_what_gives_no_guarantee():
    """Too few trusted examples, or such as nobody scored."""
    with pytest.raises(ValueError, match="needs 49"):
        ConformalThreshold(ids(48), alpha=0.02)
    with pytest.raises(ValueError, match="`alpha`.*alpha=1"):
        ConformalThreshold(ids(48), alpha=1)
    threshold = ConformalThreshold(ids(49), alpha=0.02)
    with pytest.raises(ValueError, match="unknown ids.*id-48"):
        threshold.fit(np.zeros(48), example_ids=ids(48))
