"""LoRA adapters: which there are, and how to switch them off."""

import contextlib


def lora_layers(model):
    """The layers of a model that have a LoRA adapter."""
    return [
        layer
        for layer in model._flatten_layers()
        if getattr(layer, "lora_enabled", False)
    ]


def freeze_lora_biases(model):
    """Freezes the biases of layers with an adapter.

    Keras leaves them trainable, and an adapter that is off does not bring
    back a bias that was trained.

    Returns:
        int. How many biases were frozen.
    """
    biases = [
        layer.bias
        for layer in lora_layers(model)
        if getattr(layer, "bias", None) is not None and layer.bias.trainable
    ]
    for bias in biases:
        bias.trainable = False
    return len(biases)


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
