"""The common interface: a task and examples in, a defended fit out."""

import keras
import numpy as np
import pytest

from keras_byorn import BYORnModel, PreparedExamples
from keras_byorn.baselines import DefendedFit, NoDefence
from keras_byorn.baselines.defence import batches_for, fit_without
from keras_byorn.data.examples import Examples


def weights_of(vlm):
    return [keras.ops.convert_to_numpy(v) for v in vlm.trainable_variables]


def test_no_defence_is_a_plain_fit(make_vlm, make_examples, options):
    """The same weights as of `BYORnModel.fit` without a callback."""
    vlm = make_vlm()
    before = weights_of(vlm)
    fit = NoDefence().fit(vlm, Examples(make_examples(6)), options)
    other = make_vlm()
    model = BYORnModel(other)
    model.compile(options.make_optimizer())
    prepared = PreparedExamples(make_examples(6), other, 4, verbose=0)
    history = model.fit(batches_for(other, prepared, options), verbose=0)
    for left, right in zip(weights_of(vlm), weights_of(other)):
        np.testing.assert_allclose(left, right, atol=1e-6)
    assert any((a != b).any() for a, b in zip(before, weights_of(vlm)))
    assert fit.history["loss"] == pytest.approx(history.history["loss"])
    assert fit.vlm is vlm and not fit.store.suspects.any()


def test_suspects_are_left_out(make_vlm, make_examples, options):
    """The store tells who they are, and what they were ranked by."""
    suspect = np.array([False, True, False, False, True, False])
    vlm = make_vlm()
    prepared = PreparedExamples(make_examples(6), vlm, 4, verbose=0)
    fit = fit_without(suspect, np.arange(6), vlm, prepared, options, k=3)
    assert fit.store.suspects.tolist() == suspect.tolist()
    assert fit.store.plausibility.tolist() == list(range(6))
    assert fit.details == {"k": 3}
    origins = fit.audit().table["origin"].to_pylist()
    assert [origin == "excluded" for origin in origins] == suspect.tolist()


def test_the_responder_has_the_defence_in_place(vlm, make_examples):
    """A defence of inputs filters what a test shows, and no original."""
    seen = []

    def clean_inputs(examples):
        seen.extend(example["prompts"] for example in examples)
        return [{**e, "prompts": "what\n"} for e in examples]

    examples = make_examples(2)
    clean = [{**e, "prompts": "what\n"} for e in examples]
    plain = DefendedFit(vlm, None, None).responder(2, length=8)
    filtered = DefendedFit(vlm, None, None, clean_inputs=clean_inputs)
    assert filtered.responder(2, length=8)(examples) == plain(clean)
    assert seen == ["describe the image\n"] * 2
