"""Training on texts of several lengths: the same numbers, few programs."""

import keras
import numpy as np
import pytest

from keras_byorn.data import length_buckets
from keras_byorn.training.callback import BYORnCallback
from keras_byorn.training.model import BYORnModel

LONG = "what is the left digit describe the\n"
SHORT = "what\n"


@pytest.fixture
def bucketed(vlm, make_examples, make_batches, monkeypatch):
    """A function that makes batches of short and of long texts."""
    monkeypatch.setattr(length_buckets, "MIN_BATCHES", 1)

    def make(task=None, count=18, **kwargs):
        prompts = [SHORT, LONG, SHORT] * (count // 3)
        examples = make_examples(count, prompts=prompts)
        return make_batches(task or vlm, examples, **kwargs)

    return make


def test_batches_are_no_longer_than_they_must_be(bucketed):
    """Every example once, its inputs the same but for padding."""
    batches = bucketed(shuffle=True)
    prepared = batches.prepared
    assert prepared.buckets.lengths == [8, 16, 16]
    short, long = prepared.buckets.widths[:2]
    seen = {}
    shapes = set()
    for x, y, extra in batches:
        assert x["token_ids"].shape == y.shape == extra["response_mask"].shape
        shapes.add((y.shape[1], extra["response_positions"].shape[1]))
        for row in np.flatnonzero(extra["weight"]):
            mask = extra["response_mask"][row]
            where = extra["response_positions"][row][: mask.sum()]
            np.testing.assert_array_equal(where, np.flatnonzero(mask))
            seen[int(extra["position"][row])] = list(y[row][mask])
    assert shapes == {(8, short), (16, long)}
    assert sorted(seen) == list(range(18))
    ends = batches.task.end_token_ids[:1]
    for position, ids in seen.items():
        assert ids == [*prepared.response_ids[position], *ends]


def test_the_loss_is_that_of_one_length(vlm, bucketed, monkeypatch):
    """Padding is not part of it."""
    model = BYORnModel(vlm)
    model.compile()
    found = model.evaluate(bucketed(), verbose=0)
    monkeypatch.setattr(length_buckets, "MIN_BATCHES", 1000)
    whole = bucketed()
    assert whole.prepared.buckets.lengths[0] == 16
    assert found == pytest.approx(model.evaluate(whole, verbose=0), abs=1e-5)


class Counted(BYORnModel):
    """Counts how often its objective is traced, and what it is given."""

    def objective(self, data, training):
        self.__dict__.setdefault("traces", []).append(data[1].shape)
        return super().objective(data, training)


def test_one_program_for_each_length_and_none_later(make_vlm, bucketed):
    """In two fits of several epochs, with other data of these shapes."""
    vlm = make_vlm(lora_rank=2)
    model = Counted(vlm)
    model.compile(keras.optimizers.Adam(1e-3, use_ema=True, ema_momentum=0.5))
    defence = BYORnCallback(verbose=0)
    counts = []
    for seed in range(2):
        batches = bucketed(vlm, shuffle=True, seed=seed)
        model.fit(batches, epochs=3, callbacks=[defence], verbose=0)
        counts.append(len(model.traces))
    if keras.config.backend() == "torch":  # which has no programs
        assert len(set(model.traces)) == 2
        return
    # TensorFlow makes one for all lengths, and traces it up to twice.
    assert counts[0] == counts[1] <= 2


def test_shapes_are_told_before_training(bucketed):
    """TensorFlow learns from two batches which axes may change."""
    batches = bucketed()
    with batches.starting():
        told = batches[0], batches[1]
        batches.begin_training()
        assert batches[0][2]["weight"].all()
    for (_, y, extra), bucket in zip(told, (0, 2)):
        assert not extra["weight"].any()
        assert y.shape[1] == batches.prepared.buckets.lengths[bucket]
        width = extra["response_positions"].shape[1]
        assert width == batches.prepared.buckets.widths[bucket]


def test_a_length_that_the_first_epoch_lacks(vlm, bucketed):
    """All short texts suspect, replaced after it, one of them at length."""
    batches = bucketed(shuffle=True)
    prepared = batches.prepared
    prompt_ids = prepared.prompt_ids
    suspect = np.array([len(ids) == len(prompt_ids[0]) for ids in prompt_ids])
    assert suspect.sum() == 12
    batches.store.set_scores(np.where(suspect, -9.0, -1.0), suspect)
    ids = prepared.response_ids[0]
    longer = np.resize(ids, prepared.buckets.widths[1] + 2)

    class Replace(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch:
                for index in np.flatnonzero(suspect):
                    batches.store.replace(f"scene-{index}", "red", ids)
                batches.store.replace("scene-0", "long", longer)

    class Shapes(keras.callbacks.Callback):
        lengths = []

        def on_epoch_end(self, epoch, logs=None):
            shapes = {
                (y.shape[1], extra["response_positions"].shape[1])
                for _, y, extra in batches
            }
            self.lengths.append(sorted(shapes))

    model = BYORnModel(vlm)
    model.compile(keras.optimizers.SGD(0.0))
    shapes = Shapes()
    callbacks = [Replace(), shapes]
    history = model.fit(batches, epochs=2, callbacks=callbacks, verbose=0)
    first, second = shapes.lengths
    widths = prepared.buckets.widths
    assert first == [(16, widths[1])]
    assert set(second) >= {(8, widths[0]), (16, widths[2])}
    assert np.all(np.isfinite(history.history["loss"]))


def test_a_single_batch_may_get_a_longer_response(
    vlm, make_examples, make_batches
):
    """TensorFlow would have learned its width from what there was before."""
    examples = make_examples(6, prompts=SHORT, responses=["red"] * 6)
    batches = make_batches(vlm, examples, batch_size=8)
    prepared = batches.prepared
    assert len(batches) == 1 and len(prepared.buckets) > 1
    batches.store.set_scores(-np.arange(6.0), [0, 0, 0, 0, 0, 1])
    longer = np.resize(
        prepared.response_ids[0], prepared.buckets.widths[-1] - 1
    )

    class Replace(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            if epoch:
                batches.store.replace("scene-5", "long", longer)

    model = BYORnModel(vlm)
    model.compile(keras.optimizers.SGD(0.0))
    history = model.fit(batches, epochs=2, callbacks=[Replace()], verbose=0)
    assert np.all(np.isfinite(history.history["loss"]))
    assert batches[0][2]["response_positions"].shape[1] == len(longer) + 1


def test_validation_data_may_be_longer(vlm, make_examples, make_batches):
    """Or be the batches in training, whose targets change."""
    batches = make_batches(vlm, make_examples(8, responses=["red"] * 8))
    words = "one two three four five six"
    others = make_batches(vlm, make_examples(4, responses=[words] * 4))
    assert others.largest_batch > batches.largest_batch
    model = BYORnModel(vlm)
    model.compile(keras.optimizers.SGD(0.0))
    losses = []
    for data in (others, batches):
        history = model.fit(
            batches, epochs=2, validation_data=data, verbose=0
        ).history
        expected = model.evaluate(data, verbose=0)
        losses.append(expected)
        np.testing.assert_allclose(history["val_loss"], expected, rtol=1e-5)
    assert losses[0] != losses[1]
