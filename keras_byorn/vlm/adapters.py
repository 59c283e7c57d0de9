"""LoRA adapters: which there are, and how to switch them off."""

import contextlib

import keras


def lora_layers(model):
    """The layers of a model that have a LoRA adapter."""
    return [
        layer
        for layer in model._flatten_layers()
        if getattr(layer, "lora_enabled", False)
    ]


def adapter_variables(model):
    """The variables of the LoRA adapters of a model, and no other."""
    return [
        value
        for layer in lora_layers(model)
        for name, value in vars(layer).items()
        if name.startswith("lora_") and isinstance(value, keras.Variable)
    ]


def lora_candidates(model):
    """Names to pass as `target_layer_names`, in order, each once.

    Args:
        model: a KerasHub backbone.

    Returns:
        A list of strings: names of dense layers, which can have an adapter.
    """
    names = [
        layer.name
        for layer in model._flatten_layers(include_self=False)
        if isinstance(layer, (keras.layers.Dense, keras.layers.EinsumDense))
        and layer.weights
    ]
    return list(dict.fromkeys(names))


def freeze_beside_lora(backbone):
    """Freezes what `enable_lora` means to freeze, and leaves trainable.

    That is the biases of layers with an adapter, and weights that the
    backbone itself holds. An adapter that is off would not bring back what
    they were. What belongs to a layer that the user made trainable stays so.

    Args:
        backbone: a KerasHub backbone with LoRA enabled.

    Returns:
        int. How many variables were frozen.
    """
    biases = [getattr(layer, "bias", None) for layer in lora_layers(backbone)]
    strays = [
        variable
        for variable in [*biases, *backbone._trainable_variables]
        if variable is not None and variable.trainable
    ]
    for variable in strays:
        variable.trainable = False
    return len(strays)


def trainable_beside_lora(model):
    """The trainable variables that adapters-off would not bring back."""
    adapters = {
        id(variable)
        for layer in lora_layers(model)
        for variable in layer.trainable_variables
        if variable is not getattr(layer, "bias", None)
    }
    return [v for v in model.trainable_variables if id(v) not in adapters]


@contextlib.contextmanager
def adapters_off(model):
    """Within this block the model computes as if it had no adapters.

    The flag is read where a layer is called: enter the block *inside* the
    function that is compiled, so that every trace sees it.

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
    """Within this block the adapters add nothing.

    What is compiled stays as it is, so that a program of the tuned model
    computes what the pretrained one says.

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
