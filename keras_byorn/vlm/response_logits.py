"""The head of a vision-language model, run only where a response stands."""

import keras
from keras import ops

from keras_byorn.vlm.task import decode

# Logits that stand in memory at once, float32: 256 MiB.
MAX_LOGITS = 2**26


def response_log_likelihoods(
    task,
    inputs,
    y,
    response_mask,
    positions=None,
    largest=None,
    training=False,
):
    """Computes log-likelihoods of response tokens, without logits of the rest.

    All of it is differentiable.

    The hidden states at `positions` are gathered, and only they are projected
    onto the vocabulary; in blocks where there are many, whose logits are
    computed anew for the gradient, so that never more than `MAX_LOGITS` are in
    memory. Log-likelihoods are computed in float32.

    Args:
        task: a KerasHub task of a known family, or any model with the inputs
            of one.
        inputs: a dict, exactly the task's inputs.
        y: int tensor, `(B, T)`, the token that follows each position.
        response_mask: bool tensor, `(B, T)`; with `positions` it may be longer
            than `y`, by what was cut off as padding.
        positions: optional int tensor, `(B, R)`: where `response_mask` is set,
            from left to right, and then whatever fills the row. Without it all
            positions are projected.
        largest: optional pair of ints, the most rows B and positions R of a
            batch. Blocks follow from it where a program is made before B and R
            are known, as in a TensorFlow graph.
        training: bool.

    Returns:
        A pair of float32 tensors of the shape of `response_mask`, nats, 0 off
        the response: the log-likelihoods of the tokens that follow, and those
        of the likeliest tokens there.
    """
    hidden, project, vocabulary_size = decode(task, inputs, training)
    if positions is not None:
        hidden = gather(hidden, positions)
        y = gather(y, positions)
    num_blocks = _num_blocks(y.shape, largest, vocabulary_size)
    found = _project_in_blocks(hidden, y, project, num_blocks)
    if positions is not None:
        found = [spread(values, response_mask) for values in found]
    return tuple(ops.where(response_mask, values, 0.0) for values in found)


def chosen_and_max(logits, y):
    """Log-likelihoods of the tokens `y`, and of the likeliest, in float32.

    Args:
        logits: float tensor, `(..., V)`.
        y: int tensor, `(...)`.

    Returns:
        A pair of float32 tensors, `(...)`, nats.
    """
    logits = ops.cast(logits, "float32")
    chosen = ops.take_along_axis(logits, ops.expand_dims(y, -1), axis=-1)
    norm = ops.logsumexp(logits, axis=-1)
    return ops.squeeze(chosen, -1) - norm, ops.max(logits, axis=-1) - norm


def mean_over_response(values, response_mask):
    """Mean of `(B, T)` values over the response tokens, `(B,)` float32."""
    mask = ops.cast(response_mask, "float32")
    total = ops.sum(ops.cast(values, "float32") * mask, axis=-1)
    return total / ops.maximum(ops.sum(mask, axis=-1), 1.0)


def gather(values, positions):
    """`values[b, positions[b, r]]`, `(B, R, ...)`.

    Args:
        values: tensor, `(B, T, ...)`.
        positions: int tensor, `(B, R)`.
    """
    batch, length = ops.shape(values)[:2]
    rows = ops.expand_dims(ops.arange(batch, dtype="int32") * length, -1)
    flat = ops.reshape(values, (batch * length, *ops.shape(values)[2:]))
    return ops.take(flat, ops.cast(positions, "int32") + rows, axis=0)


def spread(values, response_mask):
    """The inverse of `gather`: `(B, R)` values back at their positions.

    Args:
        values: tensor, `(B, R)`.
        response_mask: bool tensor, `(B, T)`, at most R of them set in a row.

    Returns:
        tensor, `(B, T)`; anything where the mask is not set.
    """
    slots = ops.cumsum(ops.cast(response_mask, "int32"), axis=-1) - 1
    return gather(values, ops.clip(slots, 0, ops.shape(values)[1] - 1))


def _project_in_blocks(hidden, y, project, num_blocks):
    """Log-likelihoods of `y`, and of what is preferred, `(B, R)` each."""
    if num_blocks == 1:
        return chosen_and_max(project(hidden), y)
    block = keras.remat(lambda h, y: chosen_and_max(project(h), y))
    shape = ops.shape(y)
    count = shape[0] * shape[1]
    hidden = ops.reshape(hidden, (count, hidden.shape[-1]))
    y = ops.reshape(y, (count,))
    edges = [index * count // num_blocks for index in range(num_blocks + 1)]
    found = [
        block(hidden[start:stop], y[start:stop])
        for start, stop in zip(edges, edges[1:])
    ]
    return [ops.reshape(ops.concatenate(parts), shape) for parts in zip(*found)]


def _num_blocks(shape, largest, vocabulary_size):
    """int. Blocks of which none has more than `MAX_LOGITS` logits."""
    known = [size or most for size, most in zip(shape, largest or (None, None))]
    if not all(known):  # a stream, in a TensorFlow graph
        return 1
    rows = max(1, MAX_LOGITS // max(1, vocabulary_size))
    return -(-known[0] * known[1] // rows)
