"""Batches of prompts, and samplers, for generation."""

import numpy as np
import pytest

from keras_byorn.vlm.generation import (
    generate_group,
    prompt_groups,
    sampler_of,
    sized,
)

LENGTHS = [3, 5, 3, 4, 5, 3, 3, 5]


@pytest.mark.parametrize("batch_size", [2, 3, 8])
def test_a_group_has_one_length(batch_size):
    """Each prompt is in one group, of at most the batch size."""
    prompts = [np.zeros(length, "int32") for length in LENGTHS]
    groups = prompt_groups(prompts, batch_size)
    assert sorted(np.concatenate(groups)) == list(range(8))
    for group in groups:
        assert 0 < len(group) <= batch_size
        assert len({LENGTHS[i] for i in group}) == 1
    assert len(groups) == sum(-(-n // batch_size) for n in (4, 1, 3))


def test_lengths_may_be_mixed_where_that_is_right():
    """Batches are full then, and still sorted by length."""
    prompts = [np.zeros(length, "int32") for length in LENGTHS]
    first, second, third = prompt_groups(prompts, 3, mixed=True)
    assert (len(first), len(second), len(third)) == (3, 3, 2)
    assert [LENGTHS[i] for i in (*first, *second, *third)] == sorted(LENGTHS)


@pytest.mark.parametrize("batch_size", [1, 2, 5, 16, 64])
def test_batches_are_of_three_sizes_and_hardly_filled(batch_size):
    """Few programs are compiled, and few rows generated in vain."""
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
    """Keras misplaces images where rows and placeholders are as many."""
    group = np.arange(21)
    sizes = [size for _, size in sized([group], 16, refused)]
    assert refused == 16 or refused not in sizes
    assert set(sizes) <= {16, 4, 1, refused + 1}


class RecordingTask:
    """Returns the first token of each prompt as its response."""

    def generate_ids(self, images, prompt_ids, length):
        self.images, self.prompt_ids = images, prompt_ids
        return [ids[:1] for ids in prompt_ids]


def test_a_group_is_filled_to_the_batch_size():
    """Rows are repeated for one compiled program, and dropped again."""
    task = RecordingTask()
    images = np.arange(2)
    prompts = [np.array([5, 6]), np.array([7, 8])]
    found = generate_group(task, images, prompts, length=4, batch_size=5)
    assert [ids.tolist() for ids in found] == [[5], [7]]
    np.testing.assert_array_equal(task.images, [0, 1, 0, 1, 0])
    assert [ids[0] for ids in task.prompt_ids] == [5, 7, 5, 7, 5]


def test_the_users_sampler_comes_back(load):
    """BLIP-2 with T5 samples by default; another sampler must not stay."""
    vlm = load("BLIP-2 Flan-T5")
    vlm.compile(sampler="top_k")
    before = vlm.sampler
    compiled = object()
    with sampler_of(vlm, object(), compiled) as generate_function:
        assert vlm.sampler is not before
        assert generate_function() is compiled
    assert vlm.sampler is before
    assert vlm.generate_function is not compiled
