"""A digest of everything that a frozen reference computes with."""

import json

import keras

from keras_byorn.data.digests import digest
from keras_byorn.vlm.adapters import adapter_variables
from keras_byorn.vlm.keras_internals import flatten_layers, own_variables

# Parts of a configuration that do not change scores, or are known otherwise:
# names are numbered within a process, the data type is read from each layer,
# and a tokenizer shows in its tokens.
NEUTRAL = ("name", "trainable", "dtype", "tokenizer")


def reference_digest(reference):
    """Computes a digest of everything that a frozen reference computes with.

    The weights of the task, layer by layer, with the data types that they
    compute in, and its configuration. Adapters that are off have no part in
    it, so that the digest is equal before, during and after their training.

    Args:
        reference: a `FrozenReference` that was not released.

    Returns:
        A string of 32 hexadecimal digits.
    """
    return digest(_parts_of(reference))


def _parts_of(reference):
    task = reference.task
    yield description(getattr(task, "backbone", task))
    off = adapter_variables(task) if reference.adapters_off else []
    off = {id(variable) for variable in off}
    for layer in flatten_layers(task):
        weights = [w for w in own_variables(layer) if id(w) not in off]
        if weights:
            yield _layer_description(layer, reference.adapters_off)
        for weight in weights:
            yield keras.ops.convert_to_numpy(weight)


def _layer_description(layer, adapters_off):
    words = [
        type(layer).__name__,
        layer.compute_dtype,
        str(layer.quantization_mode),
    ]
    if getattr(layer, "lora_enabled", False) and not adapters_off:
        words.append(f"lora {layer.lora_alpha} / {layer.lora_rank}")
    return " ".join(words)


def description(model):
    """Describes a model: class and configuration, without neutral parts.

    Args:
        model: any object with a configuration.

    Returns:
        A string.
    """
    try:
        config = _without_neutral(model.get_config())
    except NotImplementedError:  # a model of the user's own
        config = None
    name = f"{type(model).__module__}.{type(model).__name__}"
    return json.dumps([name, config], default=repr, sort_keys=True)


def _without_neutral(config):
    if isinstance(config, dict):
        return {
            str(key): _without_neutral(value)
            for key, value in config.items()
            if key not in NEUTRAL and not str(key).endswith("sequence_length")
        }
    if isinstance(config, (list, tuple)):
        return [_without_neutral(value) for value in config]
    return config
