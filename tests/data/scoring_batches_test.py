"""Batches for scoring: each response once, in order, in few shapes."""

import keras
import numpy as np
import pytest

from keras_byorn.data import length_buckets
from keras_byorn.data.prepared import PreparedExamples
from keras_byorn.data.scoring_batches import filled
from keras_byorn.data.views import Paraphrase

LONG = "what is the left digit describe the\n"
SHORT = "what\n"


@pytest.fixture(scope="module")
def vlm(make_vlm):
    """A tiny PaliGemma that no test here changes."""
    return make_vlm()


@pytest.fixture(scope="module")
def prepared(vlm, make_examples):
    return PreparedExamples(make_examples(10), vlm, batch_size=4, verbose=0)


@pytest.fixture
def bucketed(vlm, make_examples, monkeypatch):
    """Eighteen short and long texts, in lengths of their own."""
    monkeypatch.setattr(length_buckets, "MIN_BATCHES", 1)
    examples = make_examples(18, prompts=[SHORT, LONG, SHORT] * 6)
    return PreparedExamples(examples, vlm, batch_size=5, verbose=0)


def responses_in(batches):
    """Ids of each response in batches, as tuples, without fillers."""
    return [
        tuple(row[mask].tolist())
        for _, y, extra in batches
        for row, mask, weight in zip(y, extra["response_mask"], extra["weight"])
        if weight
    ]


def with_end(prepared, indices):
    """Ids of the original responses, with the end token."""
    end = prepared.task.end_token_ids[0]
    return [(*prepared.response_ids[i].tolist(), end) for i in indices]


@pytest.mark.parametrize("batch_size", [None, 1, 3, 10, 16])
def test_originals_come_in_order(prepared, batch_size):
    """Scores are matched to examples by position."""
    batches = prepared.scoring_batches(batch_size)
    size = batch_size or 4
    assert len(batches) == -(-10 // size)
    assert {len(y) for _, y, _ in batches} == {size}
    assert responses_in(batches) == with_end(prepared, range(10))
    assert batches.response_mask.shape == (10, prepared.text_length)


def test_fillers_repeat_a_row_and_weigh_nothing(prepared):
    """A batch of its own size would be compiled anew."""
    x, y, extra = prepared.scoring_batches(4)[2]
    assert extra["weight"].tolist() == [1, 1, 0, 0]
    assert extra["weight"].dtype == "float32"
    np.testing.assert_array_equal(y[2], y[0])
    np.testing.assert_array_equal(x["images"][3], x["images"][0])
    assert filled(np.arange(2), 0).tolist() == [0, 1]


def test_some_examples_can_be_asked_for(prepared):
    """In the order in which they are asked for."""
    batches = prepared.scoring_batches(3, indices=[7, 0, 2, 5])
    assert responses_in(batches) == with_end(prepared, [7, 0, 2, 5])
    everything = prepared.scoring_batches(10)[0][0]["images"]
    images = batches[0][0]["images"]
    np.testing.assert_array_equal(images, everything[[7, 0, 2]])


def test_other_responses_come_in_the_same_shape(prepared):
    """So that scoring them compiles nothing anew."""
    own = [prepared.response_ids[i] for i in (4, 2)]
    other = prepared.with_responses([4, 2], [own[0][1:], own[1]], 3)
    ((x, y, extra),) = list(other)
    old_x, old_y, _ = prepared.scoring_batches(3)[0]
    assert y.shape == old_y.shape
    assert {k: v.shape for k, v in x.items()} == {
        k: v.shape for k, v in old_x.items()
    }
    mask = extra["response_mask"]
    np.testing.assert_array_equal(other.response_mask, mask[:2])
    np.testing.assert_array_equal(y[0][mask[0]][:-1], own[0][1:])
    np.testing.assert_array_equal(y[1][mask[1]][:-1], own[1])
    expected = prepared.scoring_batches(3, indices=[4, 2])[0][0]["images"]
    np.testing.assert_array_equal(x["images"], expected)


def test_rows_of_like_length_share_batches(bucketed):
    """No longer than they must be; the masks alone have one shape."""
    batches = bucketed.scoring_batches()
    by_length = batches.by_length()
    assert len(by_length) == 4
    assert by_length.largest_batch == batches.largest_batch
    lengths = [y.shape[1] for _, y, _ in by_length]
    assert (min(lengths), max(lengths)) == (8, 16)
    for _, y, extra in by_length:
        mask = extra["response_mask"]
        assert mask.shape == (5, bucketed.text_length)
        for row, where in enumerate(extra["response_positions"]):
            count = mask[row].sum()
            np.testing.assert_array_equal(
                where[:count], np.flatnonzero(mask[row])
            )
            assert where[:count].max() < y.shape[1]


def test_values_come_back_in_the_order_of_the_examples(bucketed):
    """Fillers are dropped."""
    by_length = bucketed.scoring_batches().by_length()
    rows = np.concatenate([rows for rows, _ in by_length._batches])
    assert sorted(rows) == list(range(18)) != list(rows)
    masks = [extra["response_mask"] for _, _, extra in by_length]
    found = by_length.in_order(np.concatenate(masks))
    np.testing.assert_array_equal(found, bucketed.response_mask)
    weights = [extra["weight"] for _, _, extra in by_length]
    assert by_length.in_order(np.concatenate(weights)).tolist() == [1] * 18


@keras.saving.register_keras_serializable(package="scoring_batches_test")
def longer(prompt):
    return "what is the left digit " + prompt


def test_a_view_with_longer_prompts_has_a_length_of_its_own(prepared):
    """Responses move in the row, and stay what they are."""
    batches = prepared.scoring_batches(view=Paraphrase(longer))
    assert batches[0][1].shape[1] > prepared.text_length
    assert responses_in(batches) == with_end(prepared, range(10))
    changed = [longer(prompt) for prompt in prepared.prompts]
    expected = prepared.task.tokenize_prompts(changed)
    for row, ids in zip(batches[0][1], expected):
        np.testing.assert_array_equal(row[: len(ids)], ids)
    back = batches.by_length()
    masks = np.concatenate([extra["response_mask"] for _, _, extra in back])
    np.testing.assert_array_equal(back.in_order(masks), batches.response_mask)
