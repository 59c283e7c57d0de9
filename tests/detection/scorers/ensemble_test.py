"""An ensemble: the strongest doubt, on one scale."""

import numpy as np
import pytest

from keras_byorn.data.views import BlankImage
from keras_byorn.detection.scorers import (
    Duplication,
    Ensemble,
    PointwiseMutualInformation,
    Regret,
    WorstSpan,
)


def test_ensemble_is_the_strongest_doubt_on_one_scale(make_scores, to_numpy):
    """Each in robust deviations of its upper half; poison counts not."""
    rng = np.random.default_rng(0)
    clean = rng.normal(-1.0, 0.2, (1000, 1))
    values = np.concatenate([clean, np.full((300, 1), -7.0)])
    values = values.astype("float32")
    given = make_scores(
        {"None": values},
        np.ones((1300, 1), bool),
        maxima=np.full((1300, 1), -0.1, "float32"),
        prompts=["p"] * 1300,
        responses=["one and the same"] * 20 + [str(i) for i in range(1280)],
    )
    ensemble = Ensemble([Regret(), Duplication()])
    assert ensemble.fit(given) is ensemble
    assert ensemble.scales[0] == pytest.approx(0.2, rel=0.4)
    assert ensemble.scales[1] == Duplication.resolution
    regret = (values[:, 0] + 0.1 - ensemble.centers[0]) / ensemble.scales[0]
    copies = np.r_[np.full(20, -np.log(20)), np.zeros(1280)]
    expected = np.minimum(regret, copies)
    np.testing.assert_allclose(ensemble.score(given), expected, atol=1e-3)
    batch = to_numpy(ensemble(given))
    np.testing.assert_allclose(batch, expected, atol=1e-3)
    parts = ensemble.parts(given)
    assert list(parts) == ["Regret()", "Duplication(min_words=5)"]
    np.testing.assert_allclose(parts["Regret()"], values[:, 0] + 0.1, atol=1e-5)


def test_a_spread_that_means_nothing_is_not_taken_for_one(make_scores):
    """Of equal scores all deviations would be infinite."""
    given = make_scores(
        {"None": np.full((8, 1), -1.0)},
        np.ones((8, 1), bool),
        maxima=np.full((8, 1), -0.5, "float32"),
    )
    ensemble = Ensemble([Regret()]).fit(given)
    assert ensemble.scales == [Regret.resolution]
    assert ensemble.score(given).tolist() == [0.0] * 8


def test_a_later_fit_gives_other_scores(make_random_scores):
    """Centers are of the data set that was fitted last."""
    one, other = make_random_scores(0), make_random_scores(1)
    ensemble = Ensemble([Regret(), WorstSpan(4)])
    first = ensemble.fit(one).score(one)
    second = ensemble.fit(other).score(one)
    assert np.abs(first - second).max() > 0.01
    np.testing.assert_array_equal(ensemble.fit(one).score(one), first)


def test_an_ensemble_asks_each_scorer_once(make_scores):
    """To fit, to score and for the parts; a view costs a pass."""
    seen = {"None": [[-1.0], [-2.0]], "BlankImage()": [[-2.0], [-2.0]]}
    given = make_scores(seen, np.ones((2, 1), bool))
    asked, under = [], given.under
    given.under = lambda view: asked.append(view) or under(view)
    ensemble = Ensemble([PointwiseMutualInformation(BlankImage())]).fit(given)
    ensemble.score(given)
    ensemble.parts(given)
    assert len(asked) == 1


def test_ensembles_in_a_step_ask_for_tokens_only():
    """A training step has no other examples and no views."""
    assert Ensemble([Regret(), WorstSpan(4)]).in_step
    assert not Ensemble([Regret(), Duplication()]).in_step


def test_an_ensemble_of_nothing_or_unfitted_is_refused(make_random_scores):
    """Before anything is scored."""
    with pytest.raises(ValueError, match=r"`scorers`.*scorers=\[\]"):
        Ensemble([])
    for score in (Ensemble([Regret()]), Ensemble([Regret()]).score):
        with pytest.raises(ValueError, match="fitted.*without centers"):
            score(make_random_scores())
