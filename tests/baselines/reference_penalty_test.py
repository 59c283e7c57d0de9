"""The penalty is the divergence from the pretrained model, per token."""

import keras
import numpy as np
import pytest
from scipy.special import log_softmax, rel_entr

from keras_byorn.baselines import FitOptions, ReferencePenalty
from keras_byorn.baselines.reference_penalty import (
    PenalizedModel,
    divergence,
)
from keras_byorn.vlm import response_logits


def test_divergence_is_that_of_scipy():
    """In nats, of softened distributions; 0 where they are equal."""
    rng = np.random.default_rng(0)
    reference, student = rng.normal(0, 2, (2, 3, 4, 7)).astype("float32")
    student[1] = reference[1] + 5.0  # equal, but for a constant
    for temperature in (1.0, 2.0):
        p, q = (
            np.exp(log_softmax(values / temperature, axis=-1))
            for values in (reference, student)
        )
        found = divergence(reference, student, temperature)
        found = keras.ops.convert_to_numpy(found)
        np.testing.assert_allclose(
            found, rel_entr(p, q).sum(axis=-1), atol=1e-5
        )
        assert found[0].min() > 0.01


def logits_of(vlm, x):
    return keras.ops.convert_to_numpy(vlm(x, training=False))


def expected_losses(logits, reference, y, mask, strength, temperature):
    """The oracle, in NumPy: NLL plus the penalty, means over the response."""
    values = log_softmax(logits, axis=-1)
    nll = -np.take_along_axis(values, np.asarray(y)[..., None], -1)[..., 0]
    p, q = (
        np.exp(log_softmax(both / temperature, axis=-1))
        for both in (reference, logits)
    )
    token = nll + strength * rel_entr(p, q).sum(axis=-1)
    return np.where(mask, token, 0.0).sum(-1) / mask.sum(-1)


@pytest.mark.parametrize(
    "lora_rank, max_logits", [(None, 2**26), (2, 2**26), (2, 200)]
)
def test_the_loss_is_nll_plus_penalty(
    make_vlm, make_batches, shifted, monkeypatch, lora_rank, max_logits
):
    """With a copy and with adapters off; all at once and in blocks."""
    monkeypatch.setattr(response_logits, "MAX_LOGITS", max_logits)
    vlm = make_vlm(lora_rank=lora_rank)
    batches = make_batches(vlm)
    x, y, extra = batches[0]
    reference = logits_of(vlm, x)
    model = PenalizedModel(vlm)
    model.compile("sgd")
    shifted(vlm, scale=1.0)
    model.strength, model.temperature = 0.7, 2.0
    mask, weight = extra["response_mask"], extra["weight"]
    arguments = logits_of(vlm, x), reference, y, mask
    for training, strength in ((True, 0.7), (False, 0.0)):
        losses = expected_losses(*arguments, strength, 2.0)
        loss = float(model.objective((x, y, extra), training=training))
        mean = (losses * weight).sum() / weight.sum()
        assert loss == pytest.approx(mean, rel=1e-4)
    plain, penalized = (
        expected_losses(*arguments, strength, 2.0).mean()
        for strength in (0.0, 0.7)
    )
    assert penalized > plain + 0.01  # or nothing was tested


@pytest.mark.slow
def test_a_strong_penalty_keeps_the_model(
    make_vlm, make_batches, make_examples
):
    """Compiled; what it says moves less than without."""
    options = FitOptions(
        lambda: keras.optimizers.Adam(0.02), epochs=8, batch_size=4
    )
    moved = []
    for strength in (0.0, 10.0):
        vlm = make_vlm(lora_rank=2)
        x, _, extra = make_batches(vlm)[0]
        before = logits_of(vlm, x)
        fit = ReferencePenalty(strength, temperature=1.0).fit(
            vlm, make_examples(8), options
        )
        assert not fit.store.suspects.any()
        change = np.abs(logits_of(vlm, x) - before)[extra["response_mask"]]
        moved.append(change.mean())
    assert 0 < moved[1] < 0.7 * moved[0]


def test_arguments_out_of_range_are_refused():
    with pytest.raises(ValueError, match="`strength` .* at least 0"):
        ReferencePenalty(strength=-1.0)
    with pytest.raises(ValueError, match="`temperature` must be positive"):
        ReferencePenalty(temperature=0.0)
