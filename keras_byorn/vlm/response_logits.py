"""Logits and log-likelihoods of responses under a vision-language task."""

import functools
import typing

import keras
from keras import ops

from keras_byorn.vlm.families import find_family

# Logits in memory at once, float32: 256 MiB.
MAX_LOGITS = 2**26


def logits_of(task, inputs, training=False):
    """Computes the logits of a task, one row for each text token.

    Unlike the `call` of some KerasHub tasks, it is right for every family.

    Args:
        task: a KerasHub task of a known family.
        inputs: a dict, exactly the task's inputs.
        training: bool.

    Returns:
        float tensor, `(B, T, V)`.
    """
    decoded = decode(task, inputs, training)
    return decoded.project(decoded.hidden)


class Decoded(typing.NamedTuple):
    """Output of a task's decoder, before the head turns it into logits.

    Args:
        hidden: float tensor, `(B, T, D)`.
        project: function from hidden states `(..., D)`, all or some, to
            logits `(..., V)`.
        vocabulary_size: int, V; 0 where `hidden` are the logits already.
    """

    hidden: typing.Any
    project: typing.Callable
    vocabulary_size: int


def decode(task, inputs, training=False):
    """Runs a task up to its head, the projection onto the vocabulary.

    Args:
        task: a KerasHub task of a known family, or any model with the inputs
            of one.
        inputs: a dict, exactly the task's inputs.
        training: bool.

    Returns:
        A `Decoded`.
    """
    family = find_family(task)
    if family is None:  # a reference may be any model with these inputs
        return Decoded(task(inputs, training=training), lambda x: x, 0)
    return Decoded(
        family.hidden(task, inputs, training),
        functools.partial(family.project, task),
        task.preprocessor.tokenizer.vocabulary_size(),
    )


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

    Only the hidden states at `positions` are projected onto the vocabulary.
    Many of them are projected in blocks, whose logits are recomputed for the
    gradient, so that at most `MAX_LOGITS` logits are in memory. All of it is
    differentiable. Log-likelihoods are computed in float32.

    Args:
        task: a KerasHub task of a known family, or any model with the inputs
            of one.
        inputs: a dict, exactly the task's inputs.
        y: int tensor, `(B, T)`, the token that follows each position.
        response_mask: bool tensor, `(B, T)`. With `positions` it may have
            more columns than `y`, all of them padding.
        positions: optional int tensor, `(B, R)`: the positions where
            `response_mask` is set, from left to right, then any that fill
            the row. By default all positions are projected.
        largest: optional pair of ints, the most rows B and positions R of a
            batch. Sets the number of blocks where a program is made before B
            and R are known, as in a TensorFlow graph.
        training: bool.

    Returns:
        A pair `(log_likelihoods, max_log_likelihoods)` of float32 tensors of
        the shape of `response_mask`, nats, 0 off the response: of the tokens
        `y`, and of the likeliest token at each position.

    Example:

    >>> log_likelihoods, max_log_likelihoods = response_log_likelihoods(
    ...     vlm, x, y, response_mask
    ... )
    """
    hidden, project, vocabulary_size = decode(task, inputs, training)
    if positions is not None:
        hidden = gather(hidden, positions)
        y = gather(y, positions)
    num_blocks = blocks_for(y.shape, largest, vocabulary_size)

    def measure(hidden, y):
        return chosen_and_max(project(hidden), y)

    found = in_blocks(measure, [hidden], y, num_blocks)
    if positions is not None:
        found = [spread(values, response_mask) for values in found]
    return tuple(ops.where(response_mask, values, 0.0) for values in found)


def chosen_and_max(logits, y):
    """Computes log-likelihoods of the tokens `y`, and of the likeliest ones.

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
    """Averages values over the response tokens.

    Args:
        values: float tensor, `(B, T)`.
        response_mask: bool tensor, `(B, T)`.

    Returns:
        float32 tensor, `(B,)`; 0 for a row without a response token.
    """
    mask = ops.cast(response_mask, "float32")
    total = ops.sum(ops.cast(values, "float32") * mask, axis=-1)
    return total / ops.maximum(ops.sum(mask, axis=-1), 1.0)


def gather(values, positions):
    """Gathers `values[b, positions[b, r]]` for each row b.

    Args:
        values: tensor, `(B, T, ...)`.
        positions: int tensor, `(B, R)`.

    Returns:
        tensor, `(B, R, ...)`.
    """
    batch, length = ops.shape(values)[:2]
    rows = ops.expand_dims(ops.arange(batch, dtype="int32") * length, -1)
    flat = ops.reshape(values, (batch * length, *ops.shape(values)[2:]))
    return ops.take(flat, ops.cast(positions, "int32") + rows, axis=0)


def spread(values, response_mask):
    """Puts values back at their positions, the inverse of `gather`.

    Args:
        values: tensor, `(B, R)`.
        response_mask: bool tensor, `(B, T)`, at most R of them set in a row.

    Returns:
        tensor, `(B, T)`; undefined where the mask is not set.
    """
    slots = ops.cumsum(ops.cast(response_mask, "int32"), axis=-1) - 1
    return gather(values, ops.clip(slots, 0, ops.shape(values)[1] - 1))


def in_blocks(measure, hidden, y, num_blocks):
    """Measures tokens from hidden states, some of them at a time.

    With more than one block, what `measure` computes is computed again for
    the gradient, so that the logits of one block are in memory.

    Args:
        measure: callable from hidden states `(..., D)`, as many tensors as
            `hidden` has, and tokens `(...)`, to a list of tensors `(...)`.
        hidden: list of float tensors, `(B, R, D)`.
        y: int tensor, `(B, R)`.
        num_blocks: int.

    Returns:
        A list of tensors, `(B, R)`.
    """
    if num_blocks == 1:
        return measure(*hidden, y)
    block = keras.remat(measure)
    shape = ops.shape(y)
    count = shape[0] * shape[1]
    flat = [ops.reshape(h, (count, h.shape[-1])) for h in hidden]
    flat.append(ops.reshape(y, (count,)))
    edges = [index * count // num_blocks for index in range(num_blocks + 1)]
    found = [
        block(*(values[start:stop] for values in flat))
        for start, stop in zip(edges, edges[1:])
    ]
    return [ops.reshape(ops.concatenate(parts), shape) for parts in zip(*found)]


def blocks_for(shape, largest, vocabulary_size):
    """Returns a number of blocks with at most `MAX_LOGITS` logits each.

    Args:
        shape: pair of ints or `None`, rows and positions of a batch.
        largest: pair of ints, the most of them; or `None`.
        vocabulary_size: int. Logits at a position; 0 where there are none to
            compute.
    """
    known = [size or most for size, most in zip(shape, largest or (None, None))]
    if not all(known):  # a stream, in a TensorFlow graph
        return 1
    rows = max(1, MAX_LOGITS // max(1, vocabulary_size))
    return -(-known[0] * known[1] // rows)
