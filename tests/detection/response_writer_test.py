"""Responses that a task writes: to each example its own, in few programs."""

import types

import numpy as np
import pytest

from keras_byorn.detection.response_writer import (
    ResponseWriter,
    sampled_responses,
)


def to_the_last_token(task):
    """Keeps responses of a random model, which seldom end or mean anything."""
    until_end = task._until_end

    def keep(token_ids):
        ended = until_end(token_ids)
        return token_ids if ended is None else ended

    task._until_end = keep
    task.detokenize = lambda token_ids: f"ids {list(token_ids)}"


def test_writing_is_one_by_one(wordy_vlm, make_examples, make_batches):
    """Prompts of several lengths, in filled batches, against single calls."""
    prompts = [
        "describe the image\n",
        "what is the left digit\n",
        "describe the right\n",
        "what\n",
    ]
    examples = make_examples(8, prompts=prompts * 2)
    batches = make_batches(wordy_vlm, examples)
    to_the_last_token(batches.task)
    indices = np.array([7, 0, 1, 2, 3, 5, 6])
    write = ResponseWriter(batches.prepared, "greedy", batch_size=4, seed=0)
    written = write(indices, verbose=0)
    assert sorted(written) == sorted(indices)
    assert len({tuple(ids) for _, ids in written.values()}) > 3
    wordy_vlm.compile(sampler="greedy")
    for index in indices:
        text, ids = written[index]
        (expected,) = batches.task.generate_ids(
            examples[index]["images"][None],
            [batches.prepared.prompt_ids[index]],
            batches.prepared.text_length,
        )
        np.testing.assert_array_equal(ids, expected)
        assert text == batches.task.detokenize(ids).strip()


def test_random_sampling_follows_its_seed(
    make_vlm, make_examples, make_batches
):
    """Equal seeds give equal responses; another seed, others."""
    vlm = make_vlm(seed=2)
    batches = make_batches(vlm, make_examples(8))
    to_the_last_token(batches.task)
    texts = []
    for seed in (0, 0, 1):
        write = ResponseWriter(
            batches.prepared, "random", batch_size=8, seed=seed
        )
        texts.append({i: t for i, (t, _) in write(np.arange(8), 0).items()})
    assert texts[0] == texts[1] != texts[2]


def test_a_writer_that_is_used_again_draws_as_a_new_one(
    make_vlm, make_examples, make_batches
):
    """A run does not depend on what the callback defended before."""
    batches = make_batches(make_vlm(seed=2), make_examples(8))
    to_the_last_token(batches.task)
    write = ResponseWriter(batches.prepared, "random", batch_size=8, seed=0)
    first = {i: t for i, (t, _) in write(np.arange(8), 0).items()}
    other = {i: t for i, (t, _) in write(np.arange(8), 0).items()}
    write.begin_anew(batches.prepared)
    again = {i: t for i, (t, _) in write(np.arange(8), 0).items()}
    assert again == first != other


def limited(task, most, error):
    """Has a task fail on batches of more than `most`; returns the sizes."""
    generate_ids, sizes = task.generate_ids, []

    def generate(images, prompt_ids, length):
        sizes.append(len(prompt_ids))
        if len(prompt_ids) > most:
            raise error
        return generate_ids(images, prompt_ids, length)

    task.generate_ids = generate
    return sizes


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("RESOURCE_EXHAUSTED: Failed to allocate 8 bytes"),
        type("ResourceExhaustedError", (Exception,), {})("OOM when allocating"),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: 8 bytes"),
    ],
)
def test_where_memory_is_short_batches_are_halved(
    wordy_vlm, make_examples, make_batches, error
):
    """Neither the fine-tune nor a response is lost."""
    batches = make_batches(wordy_vlm, make_examples(8))
    to_the_last_token(batches.task)
    expected = ResponseWriter(batches.prepared, "greedy", batch_size=2, seed=0)(
        np.arange(8), verbose=0
    )
    sizes = limited(batches.task, 2, error)
    write = ResponseWriter(batches.prepared, "greedy", batch_size=8, seed=0)
    with pytest.warns(UserWarning, match="no memory to generate 8 .* with 4"):
        written = write(np.arange(8), verbose=0)
    assert sizes == [8, 2, 2, 2, 2] or sizes == [8, 4, 2, 2, 2, 2]
    assert sorted(written) == list(range(8))
    for index, (text, ids) in expected.items():
        assert written[index][0] == text
        np.testing.assert_array_equal(written[index][1], ids)
    assert write.suits(batches.prepared, 8)  # was asked for so many, and tried


def test_other_errors_are_not_taken_for_lack_of_memory(
    wordy_vlm, make_examples, make_batches
):
    """Nor is it hidden that a single response does not fit."""
    batches = make_batches(wordy_vlm, make_examples(2))
    limited(batches.task, 0, ValueError("something else"))
    with pytest.raises(ValueError, match="something else"):
        ResponseWriter(batches.prepared, "greedy", batch_size=2, seed=0)(
            [0, 1], 0
        )
    limited(batches.task, 0, MemoryError())
    with pytest.warns(UserWarning, match="no memory to generate 2"):
        with pytest.raises(MemoryError):
            ResponseWriter(batches.prepared, "greedy", batch_size=2, seed=0)(
                [0, 1], 0
            )


@pytest.mark.parametrize("placeholders, size", [(0, 16), (16, 17), (4, 16)])
def test_no_default_batch_is_of_the_size_that_is_refused(placeholders, size):
    """As many rows as image placeholders would fail after the first epoch."""
    task = types.SimpleNamespace(max_placeholders=placeholders)
    prepared = types.SimpleNamespace(batch_size=4, task=task)
    assert ResponseWriter(prepared, "greedy").batch_size == size
    # One that was asked for is refused where scoring begins.
    assert ResponseWriter(prepared, "greedy", 16).batch_size == 16


def test_samples_are_drawn_anew_each_time(
    make_vlm, make_examples, make_batches
):
    """As many for each example as were asked for, by the seed."""
    prepared = make_batches(make_vlm(seed=2), make_examples(4)).prepared
    to_the_last_token(prepared.task)
    found = sampled_responses(prepared, 3, seed=0)
    assert [len(texts) for texts in found] == [3] * 4
    assert any(len(set(texts)) > 1 for texts in found)
    assert sampled_responses(prepared, 3, seed=0) == found


def test_an_endless_response_is_no_target(vlm, make_examples, make_batches):
    """Without an end token the response was cut off, wherever that was."""
    task = make_batches(vlm, make_examples(2)).task
    end = vlm.preprocessor.tokenizer.end_token_id

    def generate(inputs, stop_token_ids):
        assert tuple(stop_token_ids) == (end,)
        ids = np.array(inputs["token_ids"])
        ids[:, 6:] = 9
        ids[0, 8] = end
        return {"token_ids": ids}

    vlm.make_generate_function = lambda: generate
    prompt = task.tokenize(["describe the image\n"])[0]
    assert len(prompt) == 4  # and the start token: responses begin at 5
    images = np.zeros((2, 16, 16, 3), "uint8")
    ended, endless = task.generate_ids(images, [prompt] * 2, 12)
    assert list(ended[1:]) == [9, 9] and len(ended) == 3
    assert endless is None
