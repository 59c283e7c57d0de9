"""The model that writes replacements: which weights it has."""

import contextlib

import keras


def averaging(optimizer):
    """The optimizer that keeps the average: within a loss scale, if any."""
    return getattr(optimizer, "inner_optimizer", optimizer)


@contextlib.contextmanager
def averaged_weights(model):
    """Within this block the model has the average of its past weights.

    The average is the one that the Keras optimizer keeps with `use_ema=True`.

    Args:
        model: a compiled `keras.Model` that has taken a step.
    """
    optimizer = averaging(model.optimizer)
    pairs = list(
        zip(
            optimizer._trainable_variables,
            optimizer._model_variables_moving_average,
        )
    )
    before = [keras.ops.convert_to_numpy(variable) for variable, _ in pairs]
    for variable, average in pairs:
        # A copy: JAX may give the memory away to a compiled function.
        variable.assign(keras.ops.copy(average))
    try:
        yield
    finally:
        for (variable, _), value in zip(pairs, before):
            variable.assign(value)


def separate_averages(optimizer):
    """Gives the averages memory of their own after `fit`.

    `fit` ends by assigning the averages to the model; on JAX both are then
    one buffer, and the next `fit` fails, for it donates each of them.

    Args:
        optimizer: a Keras optimizer.
    """
    optimizer = averaging(optimizer)
    if optimizer.use_ema:
        for average in optimizer._model_variables_moving_average:
            average.assign(keras.ops.copy(average))
