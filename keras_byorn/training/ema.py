"""The average of past weights that a Keras optimizer keeps."""

import contextlib

import keras


def averaging_optimizers(optimizer):
    """Returns the optimizers within an optimizer that keep an average.

    Args:
        optimizer: a Keras optimizer; maybe a `LossScaleOptimizer` or a
            `MultiOptimizer`, which hold others.

    Returns:
        A list of optimizers that have `use_ema=True`.
    """
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    inner = getattr(optimizer, "optimizers", [optimizer])
    return [each for each in inner if each.use_ema]


def has_stepped(optimizer):
    """Returns whether the averages within an optimizer are of any weights.

    Args:
        optimizer: a Keras optimizer, see `averaging_optimizers`.

    Returns:
        bool. `True` for an optimizer that keeps no average.
    """
    averaging = averaging_optimizers(optimizer)
    # One that was given no variable never steps.
    return not averaging or any(int(each.iterations) for each in averaging)


@contextlib.contextmanager
def averaged_weights(model):
    """Gives the model the average of its past weights within this block.

    The average is the one that the Keras optimizer keeps with `use_ema=True`.
    An optimizer that has taken no step has none yet: then the model keeps its
    own weights.

    Args:
        model: a compiled `keras.Model`.
    """
    if not has_stepped(model.optimizer):
        yield
        return
    variables = model.trainable_variables
    before = [keras.ops.convert_to_numpy(variable) for variable in variables]
    model.optimizer.finalize_variable_values(variables)
    own_memory(variables)
    try:
        yield
    finally:
        for variable, value in zip(variables, before):
            variable.assign(value)


def own_memory(variables):
    """Gives variables memory of their own, after they took the average.

    On JAX a variable shares the buffer of the variable that was assigned to
    it, and a compiled function that is given both fails, or gives one away.

    Args:
        variables: list of Keras variables.
    """
    for variable in variables:
        variable.assign(keras.ops.copy(variable.value))
