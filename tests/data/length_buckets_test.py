"""Length buckets: less padding, the same numbers, few programs."""

import itertools

import numpy as np
import pytest

from keras_byorn.data.length_buckets import (
    LengthBuckets,
    batches_of,
    extremes_first,
)


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
    """In the first bucket that cuts nothing."""
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


def test_no_row_is_no_batch():
    """Nothing to pick the longest and the shortest from."""
    assert batches_of(np.zeros(0, int), 4) == []
    assert extremes_first([]) == []
    (batch,) = extremes_first(batches_of(np.zeros(3, int), 4))
    assert (batch[0].tolist(), batch[1]) == ([0, 1, 2], 0)
