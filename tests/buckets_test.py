"""Length buckets: less padding, the same numbers, few programs."""

import itertools

import keras
import numpy as np
import pytest

from keras_byorn.detection.reference import FrozenReference
from keras_byorn.targets import buckets as buckets_module
from keras_byorn.data.length_buckets import (
    LengthBuckets,
    batches_of,
    extremes_first,
)
from keras_byorn.training.callback import BYORnCallback
from keras_byorn.training.model import BYORnModel

LONG = "what is the left digit describe the\n"
SHORT = "what\n"


def cost(num_tokens, lengths, num_prefix):
    """Positions computed, by the definition."""
    lengths = np.array(lengths)
    own = lengths[np.searchsorted(lengths, num_tokens)]
    return int(np.sum(own + num_prefix))


@pytest.mark.parametrize("num_prefix", [0, 20])
@pytest.mark.parametrize("seed", range(4))
def test_lengths_are_the_best_of_all(num_prefix, seed):
    """Against all choices; each further one saves its share or is not made."""
    rng = np.random.default_rng(seed)
    num_tokens = np.minimum(48, 1 + rng.gamma(2.0, 8.0, 400).astype(int))
    found = LengthBuckets.fit(num_tokens, num_tokens, 48, num_prefix, 2)
    candidates = list(range(8, 48, 8))
    best = [
        min(
            cost(num_tokens, [*shorter, 48], num_prefix)
            for shorter in itertools.combinations(candidates, count)
            if np.bincount(
                np.searchsorted([*shorter, 48], num_tokens),
                minlength=count + 1,
            ).min()
            >= 16
        )
        for count in range(4)
    ]
    own = cost(num_tokens, found.lengths, num_prefix)
    assert own == best[len(found) - 1]
    kept = [b < 0.95 * a for a, b in itertools.pairwise(best)]
    assert all(kept[: len(found) - 1])
    assert len(found) == 4 or not kept[len(found) - 1]
    assert len(found) > 1  # something was chosen here


def test_lengths_of_few_or_like_texts_are_one():
    """A compilation is not worth what it would save."""
    like = LengthBuckets.fit(np.full(999, 12), np.full(999, 5), 16, 0, 4)
    assert (like.lengths, like.widths) == ([16], [5])
    few = np.repeat([3, 40], 4)
    assert LengthBuckets.fit(few, few, 40, 0, 4).lengths == [40]
    many = np.repeat([3, 40], 40)
    fitted = LengthBuckets.fit(many, np.repeat([2, 30], 40), 40, 0, 4)
    assert (fitted.lengths, fitted.widths) == ([8, 40], [2, 30])


def test_a_row_goes_where_text_and_response_fit():
    """And nothing is cut."""
    buckets = LengthBuckets([8, 16, 16], [4, 6, 12])
    found = buckets.of(np.array([8, 9, 3, 3, 16]), np.array([4, 1, 5, 7, 12]))
    np.testing.assert_array_equal(found, [0, 1, 1, 2, 2])
    with pytest.raises(ValueError, match="of 13 tokens in 14"):
        buckets.of(np.array([8, 14]), np.array([1, 13]))


def test_room_for_what_a_model_writes():
    """Some in the longest bucket, and the rest in one that is hardly used."""
    buckets = LengthBuckets([8, 16], [4, 6])
    some = buckets.with_room(12)
    assert (some.lengths, some.widths) == ([8, 16, 16], [4, 9, 12])
    all_of_it = buckets.with_room(8)
    assert (all_of_it.lengths, all_of_it.widths) == ([8, 16], [4, 8])


@pytest.mark.parametrize("seed", range(3))
def test_rows_of_like_length_share_batches(seed):
    """Each row once, in a bucket that holds it; one batch not full."""
    own = np.random.default_rng(seed).integers(0, 4, 53)
    batches = batches_of(own, 5)
    rows = np.concatenate([rows for rows, _ in batches])
    assert sorted(rows) == list(range(53))
    assert [len(rows) for rows, _ in batches] == [5] * 10 + [3]
    for rows, bucket in batches:
        assert own[rows].max() <= bucket
    assert sum((own[rows] < bucket).sum() for rows, bucket in batches) <= 12
    first, second, *_ = extremes_first(batches[::-1])
    assert (first[1], second[1]) == (0, 3)


@pytest.fixture
def bucketed(vlm, make_examples, make_batches, monkeypatch):
    """A function that makes batches of short and of long texts."""
    monkeypatch.setattr(buckets_module, "MIN_BATCHES", 1)

    def make(task=None, count=18, **kwargs):
        prompts = [SHORT, LONG, SHORT] * (count // 3)
        examples = make_examples(count, prompts=prompts)
        return make_batches(task or vlm, examples, **kwargs)

    return make


def test_batches_are_no_longer_than_they_must_be(bucketed):
    """Every example once, its inputs the same but for padding."""
    batches = bucketed(shuffle=True)
    assert batches.buckets.lengths == [8, 16, 16]
    short, long = batches.buckets.widths[:2]
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
        assert ids == [*batches.response_ids[position], *ends]


def test_scores_come_back_in_order(vlm, bucketed, response_log_likelihoods):
    """By length they are computed, and by example they are used."""
    originals = bucketed(batch_size=5).originals()
    by_length = originals.by_length()
    assert len({y.shape for _, y, _ in by_length}) == 2
    found = FrozenReference.of(vlm).evidence(originals, verbose=0)
    expected = np.concatenate(
        [
            response_log_likelihoods(vlm, x, y, extra["response_mask"])
            for x, y, extra in originals
        ]
    )[:18]
    np.testing.assert_allclose(found.log_likelihoods, expected, atol=1e-5)
    np.testing.assert_array_equal(found.response_mask, originals.response_mask)


def test_the_loss_is_that_of_one_length(vlm, bucketed, monkeypatch):
    """Padding is not part of it."""
    model = BYORnModel(vlm)
    model.compile()
    found = model.evaluate(bucketed(), verbose=0)
    monkeypatch.setattr(buckets_module, "MIN_BATCHES", 1000)
    whole = bucketed()
    assert whole.buckets.lengths[0] == 16
    assert found == pytest.approx(model.evaluate(whole, verbose=0), abs=1e-5)


class Counted(BYORnModel):
    """Counts how often its objective is traced, and what it is given."""

    def objective(self, data, training):
        self.__dict__.setdefault("traces", []).append(data[1].shape)
        return super().objective(data, training)


def test_one_program_for_each_length_and_none_later(make_vlm, bucketed):
    """In two fits of several epochs, with other data of the same shapes."""
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
    with batches.in_fit() as callback:
        told = batches[0], batches[1]
        callback.on_train_begin()
        assert batches[0][2]["weight"].all()
    for (_, y, extra), bucket in zip(told, (0, 2)):
        assert not extra["weight"].any()
        assert y.shape[1] == batches.buckets.lengths[bucket]
        width = extra["response_positions"].shape[1]
        assert width == batches.buckets.widths[bucket]


def test_a_length_that_the_first_epoch_lacks(vlm, bucketed):
    """All short texts suspect, replaced after it, one of them at length."""
    batches = bucketed(shuffle=True)
    suspect = np.array(
        [len(ids) == len(batches.prompt_ids[0]) for ids in batches.prompt_ids]
    )
    assert suspect.sum() == 12
    batches.store.set_scores(np.where(suspect, -9.0, -1.0), suspect)
    ids = batches.response_ids[0]
    longer = np.resize(ids, batches.buckets.widths[1] + 2)

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
    widths = batches.buckets.widths
    assert first == [(16, widths[1])]
    assert set(second) >= {(8, widths[0]), (16, widths[2])}
    assert np.all(np.isfinite(history.history["loss"]))


def test_a_single_batch_may_get_a_longer_response(
    vlm, make_examples, make_batches
):
    """TensorFlow would have learned its width from what there was before."""
    examples = make_examples(6, prompts=SHORT, responses=["red"] * 6)
    batches = make_batches(vlm, examples, batch_size=8)
    assert len(batches) == 1 and len(batches.buckets) > 1
    batches.store.set_scores(-np.arange(6.0), [0, 0, 0, 0, 0, 1])
    longer = np.resize(batches.response_ids[0], batches.buckets.widths[-1] - 1)

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
    assert others.largest > batches.largest
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


def test_scores_are_of_examples_in_order(vlm, make_batches):
    """Batches of training are mixed, and filled."""
    with pytest.raises(ValueError, match="batches.originals"):
        FrozenReference.of(vlm).log_likelihoods(make_batches(vlm), verbose=0)
