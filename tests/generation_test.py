"""How prompts are put into batches to be generated from."""

import numpy as np
import pytest

from keras_byorn.vlm.generation import prompt_groups, sized

LENGTHS = [3, 5, 3, 4, 5, 3, 3, 5]


@pytest.mark.parametrize("batch_size", [2, 3, 8])
def test_a_group_has_one_length(batch_size):
    """For families that compute mixed lengths wrongly; each prompt once."""
    prompts = [np.zeros(length, "int32") for length in LENGTHS]
    groups = prompt_groups(prompts, batch_size)
    assert sorted(np.concatenate(groups)) == list(range(8))
    for group in groups:
        assert 0 < len(group) <= batch_size
        assert len({LENGTHS[i] for i in group}) == 1
    assert len(groups) == sum(-(-n // batch_size) for n in (4, 1, 3))


def test_lengths_may_be_mixed_where_that_is_right():
    """Then batches are full, and of like length still."""
    prompts = [np.zeros(length, "int32") for length in LENGTHS]
    first, second, third = prompt_groups(prompts, 3, mixed=True)
    assert (len(first), len(second), len(third)) == (3, 3, 2)
    assert [LENGTHS[i] for i in (*first, *second, *third)] == sorted(LENGTHS)


@pytest.mark.parametrize("batch_size", [1, 2, 5, 16, 64])
def test_batches_are_of_three_sizes_and_hardly_filled(batch_size):
    """Few programs, and little that is generated for nothing."""
    groups = [np.arange(n) for n in range(1, batch_size + 1)]
    sizes = set()
    for group in groups:
        batches = list(sized([group], batch_size))
        assert np.array_equal(np.concatenate([b for b, _ in batches]), group)
        sizes |= {size for _, size in batches}
        computed = sum(size for _, size in batches)
        assert len(group) <= computed < 2 * len(group) + batch_size / 16
    assert len(sizes) <= 3 and max(sizes) == batch_size


@pytest.mark.parametrize("refused", [1, 4, 16])
def test_no_small_batch_has_the_size_that_is_refused(refused):
    """As many rows as image placeholders: Keras would misplace images."""
    group = np.arange(21)
    sizes = [size for _, size in sized([group], 16, refused)]
    assert refused == 16 or refused not in sizes
    assert set(sizes) <= {16, 4, 1, refused + 1}
