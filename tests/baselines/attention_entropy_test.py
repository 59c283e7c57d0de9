"""BYE leaves out what makes attention collapse, where a layer tells."""

import keras
import numpy as np
import pytest

from keras_byorn import PreparedExamples
from keras_byorn.baselines import AttentionEntropy
from keras_byorn.baselines.defence import fit_without
from keras_byorn.vlm.attention import ImageAttention
from keras_byorn.vlm.tiny_models import TINY


def entropies(count=200, poisoned=20):
    """Three layers: apart, one broad group, apart; the first are poisoned."""
    rng = np.random.default_rng(0)
    values = rng.normal(4.0, 0.1, (count, 3))
    values[:, 1] = rng.normal(4.0, 1.0, count)
    values[:poisoned, 0] -= 1.0
    values[:poisoned, 2] -= 2.0
    return values


def test_layers_with_two_groups_decide():
    """The ranking is their mean entropy; the lower group is suspect."""
    values = entropies()
    layers, ranking, suspect = AttentionEntropy().decide(values)
    assert layers == [0, 2]
    np.testing.assert_allclose(ranking, values[:, [0, 2]].mean(1), rtol=1e-6)
    assert np.flatnonzero(suspect).tolist() == list(range(20))


@pytest.mark.parametrize("layers", [[1], [1, 1]])
def test_without_such_a_layer_nothing_is_suspect(layers):
    """A fit of two Gaussians always splits something."""
    chosen, ranking, suspect = AttentionEntropy().decide(entropies()[:, layers])
    assert chosen == [] and not suspect.any()
    np.testing.assert_allclose(ranking, entropies()[:, 1], rtol=1e-6)
    constant = np.full((10, 2), 3.0)
    assert not AttentionEntropy().decide(constant)[2].any()


def test_the_separation_is_in_sums_of_deviations():
    """Means at a distance of 1 with deviations of 0.1 are 5 sums apart."""
    values = entropies()[:, :1]
    assert AttentionEntropy(separation=4.0).decide(values)[0] == [0]
    assert AttentionEntropy(separation=7.0).decide(values)[0] == []
    with pytest.raises(ValueError, match="`separation` .* positive"):
        AttentionEntropy(separation=0.0)


def weights_of(vlm):
    return [keras.ops.convert_to_numpy(v) for v in vlm.trainable_variables]


@pytest.mark.slow
def test_it_trains_again_from_the_pretrained_weights(
    make_vlm, make_examples, options, monkeypatch
):
    """As if what it leaves out had never been there."""
    values = entropies(count=8, poisoned=2)[:, :1]
    monkeypatch.setattr(
        ImageAttention, "entropies", lambda self, batches, verbose: values
    )
    vlm, other = make_vlm(), make_vlm()
    fit = AttentionEntropy().fit(vlm, make_examples(8), options)
    assert fit.details == {"sensitive_layers": [0]}
    suspect = fit.store.suspects
    assert np.flatnonzero(suspect).tolist() == [0, 1]
    prepared = PreparedExamples(make_examples(8), other, 4, verbose=0)
    fit_without(suspect, None, other, prepared, options)
    for left, right in zip(weights_of(vlm), weights_of(other)):
        np.testing.assert_allclose(left, right, atol=1e-6)


def test_the_first_fit_stands_where_nothing_is_suspect(
    make_vlm, make_examples, options
):
    """With true entropies, of a task that never saw poison."""
    vlm = make_vlm()
    before = weights_of(vlm)
    fit = AttentionEntropy(separation=50.0).fit(vlm, make_examples(8), options)
    assert fit.details == {"sensitive_layers": []}
    assert not fit.store.suspects.any()
    assert np.isfinite(fit.store.plausibility).all()
    assert (fit.store.plausibility > 0).all()
    assert any((a != b).any() for a, b in zip(before, weights_of(vlm)))


def test_other_families_are_refused_before_training(make_examples, options):
    """After hours would be late."""
    with pytest.raises(ValueError, match="must be a PaliGemma or Gemma 3"):
        AttentionEntropy().fit(TINY["BLIP-2 OPT"](), make_examples(2), options)
