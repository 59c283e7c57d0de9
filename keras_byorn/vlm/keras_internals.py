"""Reads private names of Keras and KerasHub, each behind one function.

No other module of the package reads a private name of theirs
(`tests/vlm/private_names_test.py`), so that a release that renames one is met
by a change of this file alone. Functions that need no private name say so:
they take a public way that is easily mistaken.
"""

import contextlib


def flatten_layers(model, include_self=True):
    """Lists all layers of a model, those within layers included.

    Reads `Layer._flatten_layers` of Keras: `Model.layers` is public, but
    stops at the layers of the model itself. Without it no LoRA layer within
    an attention layer is found.

    Args:
        model: a Keras layer or model.
        include_self: bool. Whether the list begins with the model itself.

    Returns:
        A list of layers, each once.
    """
    return list(model._flatten_layers(include_self=include_self))


def own_variables(layer):
    """Lists the weights that a layer itself holds, none of its sublayers.

    Reads `flatten_layers`, and else public names. Without it the weights of a
    model cannot be told apart layer by layer, and those that a backbone holds
    beside its layers are not found.

    Args:
        layer: a Keras layer or model.

    Returns:
        A list of variables: the trainable ones first, as in `layer.weights`.
    """
    of_sublayers = {
        id(variable)
        for sublayer in flatten_layers(layer, include_self=False)
        for variable in sublayer.weights
    }
    return [v for v in layer.weights if id(v) not in of_sublayers]


def output_within(backbone, layer):
    """Returns the symbolic tensor that a layer makes in a backbone's graph.

    Reads `Function._nodes_by_depth` of Keras: `layer.output` is public, but
    is of the first call, in whatever graph, and of a functional layer it is
    the tensor within the layer. Without it a backbone cannot be parted
    behind its vision tower, and images are encoded in every epoch.

    Args:
        backbone: a functional Keras model.
        layer: a layer of it, called once.

    Returns:
        A `keras.KerasTensor`.
    """
    (output,) = _node_of(backbone, layer).outputs
    return output


def input_within(backbone, layer):
    """Returns the symbolic tensor that a layer takes in a backbone's graph.

    Reads `Function._nodes_by_depth` of Keras, see `output_within`. Without it
    the hidden states that a decoder block starts from cannot be computed, and
    nor can its attention.

    Args:
        backbone: a functional Keras model.
        layer: a layer of it, called once.

    Returns:
        A `keras.KerasTensor`, the first that the layer is called with.
    """
    return _node_of(backbone, layer).input_tensors[0]


def _node_of(backbone, layer):
    (node,) = [
        node
        for nodes in backbone._nodes_by_depth.values()
        for node in nodes
        if node.operation is layer
    ]
    return node


def rotated(attention, values):
    """Rotates queries or keys by their positions, counted from 0.

    Reads `_apply_rope` of KerasHub's Gemma and Gemma 3 attention: Gemma's
    rotary layer is public, but the order of its outputs is changed behind it.
    Without it queries and keys do not know where they stand.

    Args:
        attention: a KerasHub attention layer of Gemma, PaliGemma or Gemma 3.
        values: float tensor, `(B, T, heads, H)`.

    Returns:
        A tensor of that shape.
    """
    return attention._apply_rope(values, 0)


def was_lora_enabled(backbone):
    """Returns whether `enable_lora` was called, even if it matched no layer.

    Reads `Backbone._lora_rank` of KerasHub: a call that matches no layer
    leaves no other trace. Without it such a call is taken for full
    fine-tuning of a frozen model, and the error names the wrong remedy.

    Args:
        backbone: a KerasHub backbone.

    Returns:
        bool.
    """
    return hasattr(backbone, "_lora_rank")


def untrack(layer, part):
    """Removes a part from what a layer tracks, such as its weights.

    Reads no private name: Keras tracks what stands in a list that is an
    attribute, and untracks what the list is cleared of. Deleting the
    attribute alone would leave the part's weights in memory.

    Args:
        layer: a Keras layer or model.
        part: a layer that it tracks, whose attribute is deleted already.
    """
    layer.untracked_parts = [part]
    layer.untracked_parts.clear()
    del layer.untracked_parts


def forget_compiled_trainable_state(model):
    """Deletes the layers that a model noted when it was compiled.

    Reads `Trainer._compiled_trainable_state` of Keras, a dictionary from
    layers to their `trainable` flags, for a warning of `fit`. Without it a
    layer that the model has given up, with its weights, stays in memory
    until the model is compiled again.

    Args:
        model: a Keras model, compiled or not.
    """
    if hasattr(model, "_compiled_trainable_state"):
        del model._compiled_trainable_state


@contextlib.contextmanager
def keeping_weights(model):
    """Gives a model its weights back where a pass within is interrupted.

    Reads `JAXTrainer._jax_state` and `Variable._value` of Keras: on JAX,
    `predict` and the first step of `fit` take the values of all variables
    away, and give them back at their end alone. Without it an interrupted
    pass leaves the model without weights.

    Args:
        model: a Keras model, compiled or not.
    """
    variables = list(model.variables)
    if model.compiled:
        variables += [*model.metrics_variables, *model.optimizer.variables]
    before = [(variable, variable.value) for variable in variables]
    try:
        yield
    except BaseException:
        if hasattr(model, "jax_state_sync"):
            model.jax_state_sync()  # from the last batch, if there was one
            model._jax_state = None
            for variable, value in before:
                if variable._value is None:
                    variable.assign(value)
        raise
