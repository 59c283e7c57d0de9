"""Generates in batches of few shapes, each of one prompt length."""

import contextlib

import numpy as np

# Number of batch sizes, each a quarter of the next larger one.
NUM_SIZES = 3


@contextlib.contextmanager
def sampler_of(task, sampler, generate_function=None):
    """Makes a task generate with another sampler, within a block.

    Unlike `task.compile(sampler=...)` it leaves the user's compilation as it
    is.

    Args:
        task: a KerasHub task.
        sampler: a `keras_hub.samplers.Sampler`.
        generate_function: optional function that an earlier block with this
            sampler compiled, to avoid compiling it again.

    Yields:
        A function without arguments that returns the generate function which
        the block has compiled so far, or `None`.

    Example:

    >>> with sampler_of(vlm, keras_hub.samplers.GreedySampler()) as compiled:
    ...     responses = vlm.generate(inputs)
    ...     generate_function = compiled()
    """
    before = task.sampler, task.generate_function
    task.sampler, task.generate_function = sampler, generate_function
    try:
        yield lambda: task.generate_function
    finally:
        task.sampler, task.generate_function = before


def prompt_groups(prompt_ids, batch_size, mixed=False):
    """Splits prompts into batches of equal length.

    Args:
        prompt_ids: list of N int arrays.
        batch_size: int. The largest batch.
        mixed: bool. Whether a batch may hold prompts of several lengths, for
            families that compute these rightly. They are sorted by length
            then. Defaults to `False`.

    Returns:
        A list of int arrays: positions in `prompt_ids`, each in one array.
    """
    lengths = np.array([len(ids) for ids in prompt_ids], int)
    order = np.argsort(lengths, kind="stable")
    changes = [] if mixed else np.flatnonzero(np.diff(lengths[order])) + 1
    return [
        group
        for same in np.split(order, changes)
        for group in np.split(same, range(batch_size, len(same), batch_size))
        if len(group)
    ]


def sized(groups, batch_size, refused=0):
    """Splits groups into batches of few sizes, each more than half full.

    Only a batch of the smallest size may be less full.

    Args:
        groups: list of int arrays, none longer than `batch_size`.
        batch_size: int. The largest size.
        refused: int. Size that no smaller batch may have; one more is taken
            instead. See `packing.positions`.

    Yields:
        Pairs of an int array and the size of the batch that holds it.
    """
    sizes = [max(1, batch_size // 4**power) for power in range(1, NUM_SIZES)]
    sizes = [size + (size == refused) for size in sizes]
    sizes = [batch_size, *(size for size in sizes if size < batch_size)]
    for group in groups:
        while len(group):
            fitting = [size for size in sizes if len(group) <= size]
            size = min(fitting, default=batch_size)
            smaller = max([s for s in sizes if s < size], default=0)
            if smaller and len(group) <= size // 2:
                size = smaller
            yield group[:size], size
            group = group[size:]


def generate_group(task, images, prompt_ids, length, batch_size):
    """Generates for one group of prompts, repeated to fill the batch size.

    Groups of one batch size and prompt length share one compiled program.

    Args:
        task: a `VisionLanguageTask`.
        images: array or `Embedded` of N rows, see
            `VisionLanguageTask.generate_ids`.
        prompt_ids: list of N int arrays of one length.
        length: int. The most tokens of prompt and response together.
        batch_size: int, at least N.

    Returns:
        A list of N entries, see `VisionLanguageTask.generate_ids`.
    """
    filled = np.resize(np.arange(len(prompt_ids)), batch_size)
    generated = task.generate_ids(
        images[filled], [prompt_ids[i] for i in filled], length
    )
    return generated[: len(prompt_ids)]


def generate_texts(task, inputs, **kwargs):
    """Generates responses by the task's own `generate`.

    Prompts are grouped by length first, if the family computes batches of
    several lengths wrongly.

    Args:
        task: a `VisionLanguageTask`.
        inputs: a dict of `"images"`, as the task's `generate` takes them, if
            it reads any, and `"prompts"`, a list of B strings or a string.
        **kwargs: as in the task's `generate`.

    Returns:
        A list of B strings, or a string.
    """
    prompts, images = inputs["prompts"], inputs.get("images")
    if task.family.mixed_prompt_lengths or isinstance(prompts, str):
        return task.task.generate(
            task.generate_inputs(images, prompts), **kwargs
        )
    prompts, images = list(prompts), np.asarray(images)
    responses = [None] * len(prompts)
    for group in prompt_groups(task.tokenize(prompts), len(prompts)):
        batch = task.generate_inputs(images[group], [prompts[i] for i in group])
        texts = task.task.generate(batch, **kwargs)
        for index, text in zip(group, texts):
            responses[index] = text
    return responses
