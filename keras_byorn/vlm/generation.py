"""Generation in batches of one shape and one prompt length."""

import numpy as np


def prompt_groups(prompt_ids, batch_size):
    """Cuts prompts into batches in which all have one number of tokens.

    Families that compute mixed lengths wrongly need it; the others pay
    nothing for it.

    Args:
        prompt_ids: list of N int arrays.
        batch_size: int. The largest batch.

    Returns:
        A list of int arrays, positions of prompts, N in all.
    """
    lengths = np.array([len(ids) for ids in prompt_ids], int)
    groups = []
    for length in np.unique(lengths):
        same = np.flatnonzero(lengths == length)
        groups += np.split(same, range(batch_size, len(same), batch_size))
    return groups


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
