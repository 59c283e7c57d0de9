"""Checks of the values of a store, and of the examples that it is used for."""

import numpy as np

from keras_byorn.data.validation import named

# A row with less weight than this would cost a step and teach nothing.
NEGLIGIBLE_WEIGHT = 1e-3


def checked_column(name, values, count):
    """Returns values as a float32 array with one for each example.

    Args:
        name: string, for the error.
        values: array.
        count: int.
    """
    values = np.asarray(values, "float32")
    if values.shape != (count,):
        raise ValueError(
            f"`{name}` must have one value for each of the {count} examples. "
            f"Received: shape {values.shape}"
        )
    return values


def checked_probability(values, example_ids):
    """Returns suspect probabilities, and refuses them if nothing is left.

    Args:
        values: array, `(N,)`.
        example_ids: list of N strings.
    """
    count = len(example_ids)
    values = checked_column("suspect_probability", values, count)
    wrong = ~((values >= 0) & (values <= 1))
    if wrong.any():
        raise ValueError(
            "`suspect_probability` must be in [0, 1]. Received: "
            f"{values[wrong][0]} and the like, of {named(example_ids, wrong)}"
        )
    if np.all(1 - values <= NEGLIGIBLE_WEIGHT):
        raise ValueError(
            "`suspect_probability` must leave some examples, for the "
            "first epoch trains on kept ones only. Lower the threshold. "
            f"Received: 1 for all {count} examples"
        )
    return values


def check_store(store, prepared):
    """Refuses a store that is not of these examples as they are now.

    Args:
        store: a `TargetStore`, maybe from a file.
        prepared: a `PreparedExamples`.

    Raises:
        ValueError: if ids, texts or images are others, or if a replacement or
            a mask cannot be one of this task.
    """
    if store.example_ids != prepared.example_ids:
        raise ValueError(
            "`store` must be of these examples, in their order. Leave it "
            f"out to start anew. Received: a store of {len(store)} "
            f"examples for {len(prepared)} examples"
        )
    changed = _changed(store, prepared)
    if changed.any():
        raise ValueError(
            "`store` must be of the examples as they were judged: other "
            "responses or images would be trained on than the audit tells of. "
            "Leave `store` out to judge them anew. Received: "
            f"{int(changed.sum()):,} changed examples: "
            f"{named(store.example_ids, changed)}"
        )
    foreign = _of_another_task(store, prepared)
    if foreign.any():
        raise ValueError(
            "`store` must hold tokens of the task in training: ids within its "
            "vocabulary, and masks within the responses. Leave `store` out to "
            "start anew. Received: others for "
            f"{named(store.example_ids, foreign)}"
        )


def _changed(store, prepared):
    """bool array, `(N,)`. Whether an example is not what was judged."""
    if store.digests is not None:
        pairs = zip(store.digests, prepared.digests)
        return np.array([known != now for known, now in pairs], bool)
    known = zip(store.prompts, store.original_responses)
    now = zip(prepared.prompts, prepared.responses)
    return np.array([a != b for a, b in zip(known, now)], bool)


def _of_another_task(store, prepared):
    """bool array, `(N,)`. Whether tokens cannot be those of the task."""
    lengths = prepared.response_mask.sum(axis=-1)
    vocabulary_size = prepared.task.tokenizer.vocabulary_size()
    foreign = np.zeros(len(store), bool)
    for index in np.flatnonzero(store.masked):
        foreign[index] = max(store.masked_tokens(index)) >= lengths[index]
    for index in store.replaced:
        ids = store.replacement_ids(index)
        foreign[index] |= ids.max(initial=0) >= vocabulary_size
        foreign[index] |= len(ids) > prepared.text_length
    return foreign
