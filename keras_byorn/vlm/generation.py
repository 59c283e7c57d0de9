"""Generation in batches of one shape and one prompt length."""

import numpy as np

# A small batch is this part of a large one.
SMALL = 8


def prompt_groups(prompt_ids, batch_size, mixed=False):
    """Cuts prompts into batches of like length.

    Args:
        prompt_ids: list of N int arrays.
        batch_size: int. The largest batch.
        mixed: bool. Whether a batch may hold prompts of several lengths, which
            some families compute wrongly; they are sorted then. Defaults to
            `False`.

    Returns:
        A list of int arrays, positions of prompts, N in all.
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


def sized(groups, batch_size):
    """Cuts groups that fill less than half a batch into small batches.

    Args:
        groups: list of int arrays, none longer than `batch_size`.
        batch_size: int.

    Yields:
        Pairs of an int array and the size of the batch that it goes in, which
        is one of two.
    """
    small = max(1, batch_size // SMALL)
    for group in groups:
        if len(group) > batch_size // 2:
            yield group, batch_size
            continue
        for part in np.split(group, range(small, len(group), small)):
            yield part, small


def generate_group(task, images, prompt_ids, length, batch_size):
    """Generates for one group, filled to the batch size: one compilation.

    Args:
        task: a `VisionLanguageTask`.
        images: array of N rows, see `VisionLanguageTask.stack_images`.
        prompt_ids: list of N int arrays of one length.
        length: int. Prompt and response have so many tokens at most.
        batch_size: int, at least N.

    Returns:
        A list of N entries, see `VisionLanguageTask.generate_ids`.
    """
    filled = np.resize(np.arange(len(prompt_ids)), batch_size)
    generated = task.generate_ids(
        images[filled], [prompt_ids[i] for i in filled], length
    )
    return generated[: len(prompt_ids)]
