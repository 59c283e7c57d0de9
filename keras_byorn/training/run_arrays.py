"""Lists what changes in training, as arrays by name."""

import keras
import numpy as np

from keras_byorn.vlm.keras_internals import flatten_layers, own_variables

# Averages that a layer keeps of what it sees, beside what trains.
MOVING = "moving_"


def variables_of(model, writer):
    """Lists all variables that training or generating changes.

    Frozen weights are not among them: they are the pretrained ones, which the
    preset has.

    Args:
        model: a `BYORnModel`, its optimizer built.
        writer: the `ResponseWriter`.

    Returns:
        A dict from a name to a variable.
    """
    kinds = {
        "trainable": model.trainable_variables,
        "optimizer": model.optimizer.variables,
        **drawing_variables(model, writer),
    }
    return _named(kinds)


def trainable_variables(model):
    """Lists the weights that train, as of `variables_of`.

    Args:
        model: a `BYORnModel`.
    """
    return _named({"trainable": model.trainable_variables})


def starting_variables(model, writer):
    """Lists those of `variables_of` that no preset tells before training.

    With adapters these are all: they begin at random. In full fine-tuning the
    weights are those of the preset, and the optimizer has seen nothing.

    Args:
        model, writer: as of `variables_of`.
    """
    if model.lora_layer_ids:
        return variables_of(model, writer)
    return _named(drawing_variables(model, writer))


def drawing_variables(model, writer):
    """Lists states of random numbers, and moving averages, by kind.

    Args:
        model, writer: as of `variables_of`.
    """
    weights = {id(variable) for variable in model.vlm.weights}
    moving = [
        variable
        for layer in flatten_layers(model.vlm)
        for variable in own_variables(layer)
        if not variable.trainable and variable.name.startswith(MOVING)
    ]
    return {
        "moving": moving,
        "random": [v for v in model.vlm.variables if id(v) not in weights],
        "sampler": writer.random_variables,
    }


def values_of(variables):
    """Yields names and values of variables, one array at a time.

    Values of bfloat16 become float32, which holds them exactly.

    Args:
        variables: dict from names to variables.
    """
    for name, variable in variables.items():
        value = keras.ops.convert_to_numpy(variable)
        is_known = value.dtype.kind in "biufc"
        yield name, value if is_known else value.astype("float32")


def assign(variables, name, value):
    """Gives a variable the value of an array.

    Args:
        variables: dict from names to variables.
        name: string.
        value: array.

    Raises:
        ValueError: if there is no such variable, or one of another shape.
    """
    variable = variables.get(name)
    if variable is None or tuple(variable.shape) != value.shape:
        own = None if variable is None else tuple(variable.shape)
        raise ValueError(f"{name} of shape {value.shape}, in training {own}")
    if value.dtype.kind == "f" and not np.isfinite(value).all():
        raise ValueError(f"{name} with values that are not finite")
    variable.assign(value)


def _named(kinds):
    return {
        f"{kind}/{number}": variable
        for kind, variables in kinds.items()
        for number, variable in enumerate(variables)
    }
