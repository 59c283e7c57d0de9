"""LoRA adapters of a model: lists them, switches them off."""

import contextlib

import keras

from keras_byorn.vlm.keras_internals import flatten_layers, own_variables


def lora_layers(model):
    """Lists the layers of a model that have a LoRA adapter."""
    return [
        layer
        for layer in flatten_layers(model)
        if getattr(layer, "lora_enabled", False)
    ]


def adapter_variables(model):
    """Lists the variables of a model's LoRA adapters, and no others."""
    return [
        value
        for layer in lora_layers(model)
        for name, value in vars(layer).items()
        if name.startswith("lora_") and isinstance(value, keras.Variable)
    ]


def lora_candidates(model):
    """Lists names to pass as `target_layer_names`, in order, each once.

    Args:
        model: a KerasHub backbone.

    Returns:
        A list of strings: names of dense layers, which can have an adapter.
    """
    names = [
        layer.name
        for layer in flatten_layers(model, include_self=False)
        if isinstance(layer, (keras.layers.Dense, keras.layers.EinsumDense))
        and layer.weights
    ]
    return list(dict.fromkeys(names))


def freeze_beside_lora(backbone):
    """Freezes the variables that `enable_lora` leaves trainable by mistake.

    These are the biases of layers with an adapter, and weights that the
    backbone itself holds. Switching an adapter off would not bring back their
    former values. Layers that the user made trainable stay trainable.

    Args:
        backbone: a KerasHub backbone with LoRA enabled.

    Returns:
        int. Number of variables that were frozen.
    """
    biases = [getattr(layer, "bias", None) for layer in lora_layers(backbone)]
    strays = [
        variable
        for variable in [*biases, *own_variables(backbone)]
        if variable is not None and variable.trainable
    ]
    for variable in strays:
        variable.trainable = False
    return len(strays)


def trainable_beside_lora(model):
    """Lists the trainable variables that are of no adapter.

    Switching the adapters off does not restore them.
    """
    adapters = {
        id(variable)
        for layer in lora_layers(model)
        for variable in layer.trainable_variables
        if variable is not getattr(layer, "bias", None)
    }
    return [v for v in model.trainable_variables if id(v) not in adapters]


@contextlib.contextmanager
def adapters_off(model):
    """Makes a model compute without its adapters, within a block.

    The flag is read where a layer is called. Enter the block *inside* the
    function that is compiled, so that every trace reads it.

    Args:
        model: a Keras model, such as a KerasHub task.

    Example:

    >>> with adapters_off(vlm):
    ...     logits = vlm(inputs)  # those of the pretrained model
    """
    layers = lora_layers(model)
    for layer in layers:
        layer.lora_enabled = False
    try:
        yield
    finally:
        for layer in layers:
            layer.lora_enabled = True


@contextlib.contextmanager
def adapters_zeroed(model):
    """Sets a model's adapters to zero, within a block.

    Compiled programs stay as they are: a program of the tuned model then
    computes the outputs of the pretrained one.

    Args:
        model: a Keras model, such as a KerasHub task.

    Example:

    >>> with adapters_zeroed(vlm):
    ...     logits = vlm.predict(inputs)  # those of the pretrained model
    """
    variables = adapter_variables(model)
    values = [keras.ops.copy(variable.value) for variable in variables]
    try:
        for variable in variables:
            variable.assign(keras.ops.zeros(variable.shape, variable.dtype))
        yield
    finally:
        for variable, value in zip(variables, values):
            variable.assign(value)
