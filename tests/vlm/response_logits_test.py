"""Log-likelihoods without logits of the rest: equal, and with less memory."""

import family_contract
import keras
import numpy as np
import pytest

from keras_byorn.training.model import BYORnModel
from keras_byorn.vlm import response_logits
from keras_byorn.vlm.packing import first_marked
from keras_byorn.vlm.response_logits import (
    chosen_and_max,
    decode,
    gather,
    logits_of,
    mean_over_response,
    response_log_likelihoods,
    spread,
)
from keras_byorn.vlm.tiny_models import TINY

# All families on torch; the others would compile for long.
NAMES = ("PaliGemma", "Gemma 3", "BLIP-2 Flan-T5")
if keras.config.backend() == "torch":
    NAMES = tuple(TINY)


class Batch(keras.utils.PyDataset):
    """One batch, with or without the positions of the responses."""

    def __init__(self, batch, positions):
        super().__init__()
        x, y, extra = batch
        extra = dict(extra, weight=np.array([1.0, 0.5, 0.0, 2.0], "float32"))
        if not positions:
            del extra["response_positions"]
        self._batch = x, y, extra

    def __len__(self):
        return 1

    def __getitem__(self, index):
        return self._batch


def scoring_batch(make_batches, vlm):
    return make_batches(vlm).prepared.scoring_batches()[0]


def trained_on(vlm, batch, positions):
    """Trains a step of gradient descent; returns loss and gradients."""
    before = vlm.get_weights()
    model = BYORnModel(vlm)
    model.compile(optimizer=keras.optimizers.SGD(1.0))
    (loss,) = model.fit(Batch(batch, positions), verbose=0).history["loss"]
    return loss, [b - a for b, a in zip(before, vlm.get_weights())]


@pytest.mark.parametrize("max_logits", [2**26, 100])
@pytest.mark.parametrize("lora_rank", [None, 2])
def test_loss_and_gradients_are_those_of_all_positions(
    make_vlm, make_batches, monkeypatch, max_logits, lora_rank
):
    """Holds for one block and for many, in full and with adapters."""
    monkeypatch.setattr(response_logits, "MAX_LOGITS", max_logits)
    batch = scoring_batch(make_batches, make_vlm())
    plain_loss, plain = trained_on(make_vlm(lora_rank), batch, False)
    loss, gradients = trained_on(make_vlm(lora_rank), batch, True)
    assert loss == pytest.approx(plain_loss, abs=1e-5) and loss > 0
    scale = max(np.abs(gradient).max() for gradient in plain)
    assert scale > 1e-2
    for one, other in zip(gradients, plain):
        np.testing.assert_allclose(one, other, atol=1e-5 * max(1, scale))


@pytest.mark.parametrize("name", NAMES)
def test_every_family_is_split_before_its_head(load, name):
    """Softcaps, prefixes and encoders: against all logits, in NumPy."""
    vlm = load(name)
    prepared = family_contract.prepare(vlm, family_contract.make_examples(vlm))
    x, y, extra = prepared.scoring_batches()[0]
    mask, positions = extra["response_mask"], extra["response_positions"]
    found, most = response_log_likelihoods(vlm, x, y, mask, positions)
    logits = keras.ops.convert_to_numpy(logits_of(vlm, x))
    assert logits.shape[:2] == y.shape
    for values, token_ids in ((found, y), (most, logits.argmax(axis=-1))):
        np.testing.assert_allclose(
            keras.ops.convert_to_numpy(values),
            family_contract.numpy_log_likelihoods(logits, token_ids, mask),
            atol=1e-5,
        )


def test_logits_are_those_of_the_tasks_call(load):
    """Decoder and head together compute KerasHub's `call`."""
    vlm = load("Gemma 3")
    prepared = family_contract.prepare(vlm, family_contract.make_examples(vlm))
    x, _, _ = prepared.scoring_batches()[0]
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(logits_of(vlm, x)),
        keras.ops.convert_to_numpy(vlm(x, training=False)),
        atol=1e-5,
    )


def test_a_model_of_no_family_returns_logits():
    """A reference may be any model with the task's inputs."""
    logits = np.arange(12, dtype="float32").reshape(1, 3, 4)
    decoded = decode(lambda x, training: x, logits)
    assert decoded.vocabulary_size == 0
    np.testing.assert_array_equal(decoded.project(decoded.hidden), logits)


@pytest.mark.parametrize("masked", [False, True])
def test_a_longer_mask_is_filled_with_zeros(vlm, make_batches, masked):
    """Both values are spread over the whole mask, some of it masked."""
    x, y, extra = scoring_batch(make_batches, vlm)
    mask = extra["response_mask"].copy()
    if masked:  # a span within a response that is no target
        mask[1, np.flatnonzero(mask[1])[0]] = False
    expected = chosen_and_max(logits_of(vlm, x), y)
    longer = np.pad(mask, [(0, 0), (0, 3)])
    positions = first_marked(mask, mask.sum(axis=-1).max() + 1)
    found = response_log_likelihoods(vlm, x, y, longer, positions)
    for one, other in zip(found, expected):
        one, other = map(keras.ops.convert_to_numpy, (one, other))
        assert one.shape == longer.shape
        other = np.where(mask, other, 0.0)
        np.testing.assert_allclose(one[:, :-3], other, atol=1e-5)
        assert not one[:, -3:].any() and other.any()


def test_spread_is_the_inverse_of_gather():
    """Values come back to the positions that they were gathered from."""
    values = np.arange(8.0).reshape(2, 4)
    mask = np.array([[0, 1, 0, 1], [1, 0, 0, 0]], bool)
    positions = first_marked(mask, 2)
    gathered = keras.ops.convert_to_numpy(gather(values, positions))
    np.testing.assert_array_equal(gathered, [[1, 3], [4, 5]])
    back = keras.ops.convert_to_numpy(spread(gathered, mask))
    np.testing.assert_array_equal(back[mask], values[mask])


def test_mean_over_response_of_no_token_is_zero():
    """A masked row has no mean, and must not be NaN."""
    values = np.array([[1.0, 3.0, 9.0], [5.0, 5.0, 5.0]], "float32")
    mask = np.array([[1, 1, 0], [0, 0, 0]], bool)
    means = keras.ops.convert_to_numpy(mean_over_response(values, mask))
    np.testing.assert_array_equal(means, [2.0, 0.0])


def test_no_more_logits_at_once_than_allowed(vlm, make_batches, monkeypatch):
    """The blocks bound the memory that logits take."""
    monkeypatch.setattr(response_logits, "MAX_LOGITS", 200)
    shapes = []
    embedding = vlm.backbone.token_embedding
    original = embedding.call

    def call(inputs, reverse=False):
        found = original(inputs, reverse=reverse)
        if reverse:
            shapes.append(tuple(found.shape))
        return found

    monkeypatch.setattr(embedding, "call", call)
    x, y, extra = scoring_batch(make_batches, vlm)
    response_log_likelihoods(
        vlm, x, y, extra["response_mask"], extra["response_positions"]
    )
    # All logits in one block would be more.
    assert extra["response_positions"].size * shapes[0][-1] > 200
    assert all(np.prod(shape) <= 200 for shape in shapes)


def test_the_bound_holds_in_a_compiled_step(
    vlm, make_examples, make_batches, monkeypatch
):
    """TensorFlow traces training and scoring for any shape."""
    monkeypatch.setattr(response_logits, "MAX_LOGITS", 200)
    counts = []
    in_blocks = response_logits.in_blocks

    def counted(measure, hidden, y, num_blocks):
        counts.append(num_blocks)
        return in_blocks(measure, hidden, y, num_blocks)

    monkeypatch.setattr(response_logits, "in_blocks", counted)
    batches = make_batches(vlm, make_examples(8))
    model = BYORnModel(vlm)
    model.compile(keras.optimizers.SGD(0.0))
    model.fit(batches, verbose=0)
    model.evaluate(batches, verbose=0)
    model.reference.score(batches.prepared.scoring_batches(), verbose=0)
    vocabulary_size = vlm.backbone.vocabulary_size
    rows, width = batches.largest_batch
    assert 3 <= len(counts) and all(
        rows * width / count * vocabulary_size <= 200 for count in counts
    )


def test_metrics_get_all_logits_still(vlm, make_batches):
    """A user's metric gets `(B, T, V)`, and the loss is equal."""
    losses = []
    for metrics in (None, [keras.metrics.SparseCategoricalAccuracy()]):
        model = BYORnModel(vlm)
        model.compile(weighted_metrics=metrics)
        batches = make_batches(vlm)
        result = model.evaluate(batches, verbose=0, return_dict=True)
        losses.append(result.pop("loss"))
        assert len(result) == bool(metrics)
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)
