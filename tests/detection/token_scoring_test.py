"""Token scores of whole data sets: right, in order, and compiled once."""

import keras
import numpy as np
import pytest

from keras_byorn.data import length_buckets
from keras_byorn.data.prepared import PreparedExamples
from keras_byorn.detection.reference import FrozenReference
from keras_byorn.detection.token_scores import TokenScores
from keras_byorn.detection.token_scoring import TokenScoring
from keras_byorn.training.target_batches import TargetBatches

LONG = "what is the left digit describe the\n"
SHORT = "what\n"


@pytest.fixture(scope="module")
def vlm(make_vlm):
    """A tiny PaliGemma that no test here changes."""
    return make_vlm()


@pytest.fixture(scope="module")
def scoring(vlm):
    """Compiled by the first test that uses it."""
    return TokenScoring(vlm)


@pytest.fixture
def bucketed(vlm, make_examples, monkeypatch):
    """A function that prepares short and long texts, in two lengths."""
    monkeypatch.setattr(length_buckets, "MIN_BATCHES", 1)

    def make(count=18, batch_size=5):
        prompts = [SHORT, LONG, SHORT] * (count // 3)
        examples = make_examples(count, prompts=prompts)
        return PreparedExamples(examples, vlm, batch_size, verbose=0)

    return make


def oracle(vlm, batches):
    """Log-likelihoods of tokens and of the likeliest ones, in float64."""
    parts = []
    for x, y, extra in batches:
        logits = keras.ops.convert_to_numpy(vlm(x, training=False))
        logits = logits.astype("float64")
        peak = logits.max(axis=-1)
        norm = np.log(np.exp(logits - peak[..., None]).sum(axis=-1)) + peak
        chosen = np.take_along_axis(logits, y[..., None], axis=-1)[..., 0]
        mask = extra["response_mask"]
        found = [np.where(mask, v - norm, 0.0) for v in (chosen, peak)]
        parts.append((*found, mask))
    return TokenScores(*map(np.concatenate, zip(*parts)))


def test_scores_come_back_in_order(vlm, scoring, bucketed):
    """Computed by length, returned by example, without fillers."""
    batches = bucketed().scoring_batches()
    assert len({y.shape for _, y, _ in batches.by_length()}) == 2
    found = scoring.score(batches, verbose=0)
    expected = oracle(vlm, batches)
    for own, wanted in zip(found[:2], expected[:2]):
        assert own.shape == (18, batches.response_mask.shape[1])
        assert own.dtype == "float32"
        np.testing.assert_allclose(own, wanted[:18], atol=1e-5)
    np.testing.assert_array_equal(found.response_mask, batches.response_mask)


class Rows(keras.utils.PyDataset):
    """A data set of the user's own: batches as they are, of one length."""

    def __init__(self, batches):
        super().__init__()
        self._batches = batches

    def __len__(self):
        return len(self._batches)

    def __getitem__(self, index):
        x, y, extra = self._batches[index]
        return x, y, {"response_mask": extra["response_mask"]}


def test_any_data_set_can_be_scored(vlm, bucketed):
    """In its own order, with its fillers, without positions."""
    batches = bucketed().scoring_batches()
    found = TokenScoring(vlm).score(Rows(batches), verbose=0)
    expected = oracle(vlm, batches)
    assert len(found.log_likelihoods) == 20
    for own, wanted in zip(found, expected):
        np.testing.assert_allclose(own, wanted, atol=1e-5)


def test_nothing_is_compiled_anew_for_data_of_the_same_shapes(
    scoring, bucketed, make_examples, vlm
):
    """Larger batches are, for their logits need more blocks."""
    prepared = bucketed()
    scoring.score(prepared.scoring_batches(), verbose=0)
    program = scoring.predict_function
    assert program is not None
    scoring.score(prepared.scoring_batches(indices=[3, 1]), verbose=0)
    scoring.score(bucketed(12).scoring_batches(), verbose=0)
    assert scoring.predict_function is program
    scoring.score(bucketed(batch_size=9).scoring_batches(), verbose=0)
    assert scoring.predict_function is not program


def test_batches_in_training_are_refused(vlm, scoring, bucketed):
    """They are mixed, and hold no suspect."""
    batches = TargetBatches(bucketed(), vlm)
    message = r"`batches.prepared.scoring_batches\(\)`.*TargetBatches"
    with pytest.raises(ValueError, match=message):
        scoring.score(batches, verbose=0)


@pytest.mark.parametrize("bad_batch", [0, 1])
@pytest.mark.parametrize("lora_rank", [None, 2])
def test_an_interrupted_pass_leaves_the_weights(
    make_vlm, make_examples, monkeypatch, bad_batch, lora_rank
):
    """On JAX, Keras takes them out of the model for the time of a pass."""
    vlm = make_vlm(lora_rank=lora_rank)
    before = [keras.ops.convert_to_numpy(w) for w in vlm.weights]
    prepared = PreparedExamples(make_examples(12), vlm, batch_size=4, verbose=0)
    reference = FrozenReference(vlm, adapters_off=True)
    expected = reference.score(prepared.scoring_batches(), verbose=0)
    shown, calls = prepared.images.shown, []

    def interrupted(*args):
        calls.append(1)
        if len(calls) > bad_batch:
            raise KeyboardInterrupt
        return shown(*args)

    with monkeypatch.context() as patch:
        patch.setattr(prepared.images, "shown", interrupted)
        with pytest.raises(KeyboardInterrupt):
            reference.score(prepared.scoring_batches(), verbose=0)
    for own, weight in zip(before, vlm.weights, strict=True):
        np.testing.assert_array_equal(own, keras.ops.convert_to_numpy(weight))
    found = reference.score(prepared.scoring_batches(), verbose=0)
    np.testing.assert_allclose(
        found.log_likelihoods, expected.log_likelihoods, rtol=1e-6
    )
