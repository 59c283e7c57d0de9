"""Generation in batches of one shape and one prompt length."""

import numpy as np

# Batches are of at most so many sizes, each a quarter of the next larger one.
NUM_SIZES = 3


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


def sized(groups, batch_size, refused=0):
    """Cuts groups into batches of few sizes, each more than half full.

    But for the smallest size, which may be less full.

    Args:
        groups: list of int arrays, none longer than `batch_size`.
        batch_size: int. The largest size.
        refused: int. No smaller size is this one, but one more. See
            `packing.positions`.

    Yields:
        Pairs of an int array and the size of the batch that it goes in.
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
    """Generates for one group, filled to the batch size: one compilation.

    Args:
        task: a `VisionLanguageTask`.
        images: array or `Embedded` of N rows, see
            `VisionLanguageTask.generate_ids`.
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
