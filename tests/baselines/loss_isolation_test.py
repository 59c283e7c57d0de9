"""Anti-Backdoor Learning: its three losses, and what it isolates."""

import dataclasses

import keras
import numpy as np
import pytest

from keras_byorn import PreparedExamples
from keras_byorn.baselines import LossIsolation
from keras_byorn.baselines.loss_isolation import (
    StagedModel,
    local_gradient_ascent,
    losses_of,
    lowest,
)


def test_losses_below_gamma_are_raised():
    """By the sign of the distance, equation 4 of the paper."""
    losses = keras.ops.convert_to_tensor([0.2, 0.5, 0.9, 3.0])
    signed = keras.ops.convert_to_numpy(local_gradient_ascent(losses, 0.5))
    np.testing.assert_allclose(signed, [-0.2, 0.0, 0.9, 3.0], rtol=1e-6)


def test_the_lowest_share_is_marked():
    """One at least; the first of equal ones."""
    losses = np.array([3.0, 0.5, 2.0, 0.5, 1.0])
    assert np.flatnonzero(lowest(losses, 0.4)).tolist() == [1, 3]
    assert np.flatnonzero(lowest(losses, 0.01)).tolist() == [1]


def test_each_stage_has_its_loss(vlm, make_batches, response_log_likelihoods):
    """Against NumPy; validation is the plain loss in each of them."""
    x, y, extra = make_batches(vlm)[0]
    mask, weight = extra["response_mask"], extra["weight"]
    values = response_log_likelihoods(vlm, x, y, mask)
    losses = -values.sum(axis=-1) / mask.sum(axis=-1)
    gamma = float(np.median(losses))
    signs = np.sign(losses - gamma)
    assert {-1.0, 1.0} <= set(signs)
    model = StagedModel(vlm)
    model.compile("sgd")
    model.gamma = gamma + 1e-4
    signs = np.sign(losses - model.gamma)
    for stage, expected in {
        "tune": losses,
        "unlearn": -losses,
        "isolate": signs * losses,
    }.items():
        model.stage = stage
        for training, values in ((True, expected), (False, losses)):
            loss = model.objective((x, y, extra), training=training)
            mean = (values * weight).sum() / weight.sum()
            assert float(loss) == pytest.approx(mean, rel=1e-4)


def test_losses_are_of_the_originals(
    vlm, make_batches, response_log_likelihoods
):
    """In the examples' order, without the rows that fill a batch."""
    batches = make_batches(vlm)
    model = StagedModel(vlm)
    found = losses_of(model, batches.prepared)
    expected = []
    for x, y, extra in batches.prepared.scoring_batches():
        mask = extra["response_mask"]
        values = response_log_likelihoods(vlm, x, y, mask)
        expected += list(-values.sum(axis=-1) / mask.sum(axis=-1))
    assert len(found) == 6
    np.testing.assert_allclose(found, expected[:6], rtol=1e-4)


@pytest.mark.slow
def test_the_isolated_are_the_lowest_and_are_unlearned(
    make_vlm, make_examples, options
):
    """All stages of a fit; the last one raises the loss of the isolated."""
    vlm = make_vlm()
    options = dataclasses.replace(options, epochs=2)
    defence = LossIsolation(
        gamma=4.0,
        isolation_fraction=0.25,
        unlearning_epochs=8,
        unlearning_rate=0.05,
    )
    fit = defence.fit(vlm, make_examples(8), options)
    isolated = fit.store.suspects
    assert fit.details == {"num_isolated": 2, "isolation_epochs": 1}
    lowest_two = np.argsort(fit.store.plausibility)[:2]
    assert sorted(np.flatnonzero(isolated)) == sorted(lowest_two)
    prepared = PreparedExamples(make_examples(8), vlm, 4, verbose=0)
    after = losses_of(StagedModel(vlm), prepared)
    assert (after > fit.store.plausibility)[isolated].all()
    assert len(fit.history["loss"]) == 1  # of the epoch on the others


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"isolation_fraction": 0.0}, "`isolation_fraction` is a share"),
        ({"isolation_epochs": 1.0}, "`isolation_epochs` is a share"),
        ({"unlearning_epochs": -1}, "`unlearning_epochs` must be at least 0"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        LossIsolation(**arguments)
