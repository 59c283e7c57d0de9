"""The head on response positions only: the same numbers for less work."""

import keras
import numpy as np
import pytest
import tiny_families
import vlm_contract
from families_test import NAMES, load, presets  # noqa: F401, fixtures

from keras_byorn.plausibility import response_head
from keras_byorn.detection.token_scores import token_evidence
from keras_byorn.vlm.response_logits import response_evidence
from keras_byorn.training.target_batches import TargetBatches
from keras_byorn.training.model import BYORnModel
from keras_byorn.vlm.packing import first_marked
from keras_byorn.vlm.task import logits_of


class Batch(keras.utils.PyDataset):
    """One batch, with or without word of where the responses stand."""

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


def trained_on(vlm, batch, positions):
    """Loss of a step of gradient descent at rate 1, and what it changed."""
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
    """With one block and with many, in full and with adapters."""
    monkeypatch.setattr(response_head, "MAX_LOGITS", max_logits)
    batch = make_batches(make_vlm(), batch_size=4).originals()[0]
    plain_loss, plain = trained_on(make_vlm(lora_rank), batch, False)
    loss, gradients = trained_on(make_vlm(lora_rank), batch, True)
    assert loss == pytest.approx(plain_loss, abs=1e-5) and loss > 0
    scale = max(np.abs(gradient).max() for gradient in plain)
    assert scale > 1e-2
    for one, other in zip(gradients, plain):
        np.testing.assert_allclose(one, other, atol=1e-5 * max(1, scale))


@pytest.mark.parametrize("name", ["PaliGemma", *NAMES])
def test_every_family_parts_before_its_head(load, name):  # noqa: F811
    """Softcaps, prefixes and encoders: values against all logits, in NumPy."""
    task = load(name)
    examples = vlm_contract.make_examples(task)
    batches = TargetBatches(examples, task, batch_size=4, shuffle=False)
    x, y, extra = batches[0]
    found = response_evidence(
        task, x, y, extra["response_mask"], extra["response_positions"]
    )
    logits = keras.ops.convert_to_numpy(logits_of(task, x))
    assert logits.shape[:2] == y.shape
    expected = vlm_contract.numpy_log_likelihoods(
        logits, y, extra["response_mask"]
    )
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(found.log_likelihoods), expected, atol=1e-5
    )


def test_the_logits_of_the_task_are_its_own_still(load):  # noqa: F811
    """Parted and put together again, against KerasHub's `call`."""
    task = load("Gemma 3")
    (x, _, _) = TargetBatches(vlm_contract.make_examples(task), task)[0]
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(logits_of(task, x)),
        keras.ops.convert_to_numpy(task(x, training=False)),
        atol=1e-5,
    )


@pytest.mark.parametrize("masked", [False, True])
def test_what_is_preferred_and_what_is_cut_off(vlm, make_batches, masked):
    """Both values of the evidence, over a longer mask, some of it masked."""
    x, y, extra = make_batches(vlm).originals()[0]
    mask = extra["response_mask"].copy()
    if masked:  # a span within a response that is no target
        mask[1, np.flatnonzero(mask[1])[0]] = False
    expected = token_evidence(logits_of(vlm, x), y, mask)
    longer = np.pad(mask, [(0, 0), (0, 3)])
    positions = first_marked(mask, mask.sum(axis=-1).max() + 1)
    found = response_evidence(vlm, x, y, longer, positions)
    for one, other in zip(found[:2], expected[:2]):
        one, other = map(keras.ops.convert_to_numpy, (one, other))
        assert one.shape == longer.shape
        np.testing.assert_allclose(one[:, :-3], other, atol=1e-5)
        assert not one[:, -3:].any() and other.any()


def test_no_more_logits_at_once_than_allowed(vlm, make_batches, monkeypatch):
    """That memory is what the blocks are for."""
    monkeypatch.setattr(response_head, "MAX_LOGITS", 200)
    shapes = []
    embedding = vlm.backbone.token_embedding
    original = embedding.call

    def call(inputs, reverse=False):
        found = original(inputs, reverse=reverse)
        if reverse:
            shapes.append(tuple(found.shape))
        return found

    monkeypatch.setattr(embedding, "call", call)
    x, y, extra = make_batches(vlm).originals()[0]
    response_evidence(
        vlm, x, y, extra["response_mask"], extra["response_positions"]
    )
    # All in one block would be more.
    assert extra["response_positions"].size * shapes[0][-1] > 200
    assert all(np.prod(shape) <= 200 for shape in shapes)


def test_the_bound_holds_in_a_compiled_step(
    vlm, make_examples, make_batches, monkeypatch
):
    """Training and scoring, though TensorFlow traces them for any shape."""
    monkeypatch.setattr(response_head, "MAX_LOGITS", 200)
    counts = []
    in_blocks = response_head._project_in_blocks

    def project_in_blocks(hidden, y, project, num_blocks):
        counts.append(num_blocks)
        return in_blocks(hidden, y, project, num_blocks)

    monkeypatch.setattr(response_head, "_project_in_blocks", project_in_blocks)
    batches = make_batches(vlm, make_examples(8))
    model = BYORnModel(vlm)
    model.compile(keras.optimizers.SGD(0.0))
    model.fit(batches, verbose=0)
    model.evaluate(batches, verbose=0)
    model.reference.evidence(batches.originals(), verbose=0)
    vocabulary_size = vlm.backbone.vocabulary_size
    rows, width = batches.largest
    assert 3 <= len(counts) and all(
        rows * width / count * vocabulary_size <= 200 for count in counts
    )


def test_metrics_get_all_logits_still(vlm, make_batches):
    """A user's metric sees `(B, T, V)`, and the loss is the same."""
    losses = []
    for metrics in (None, [keras.metrics.SparseCategoricalAccuracy()]):
        model = BYORnModel(vlm)
        model.compile(weighted_metrics=metrics)
        batches = make_batches(vlm)
        result = model.evaluate(batches, verbose=0, return_dict=True)
        losses.append(result.pop("loss"))
        assert len(result) == bool(metrics)
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)


def test_tiny_families_have_names():
    """The parameters above are what exists."""
    assert set(NAMES) <= set(tiny_families.TINY)
