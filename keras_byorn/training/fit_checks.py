"""Refusals of `fit`, before any example is scored."""

import collections.abc
import math
import warnings

import keras

from keras_byorn.data.examples import Examples
from keras_byorn.data.prepared import PreparedExamples
from keras_byorn.training.ema import averaging_optimizers
from keras_byorn.training.target_batches import TargetBatches
from keras_byorn.vlm.adapters import (
    adapter_variables,
    lora_layers,
    trainable_beside_lora,
)

# Of the average after one epoch; above this the teacher is half untrained.
MAX_PRETRAINED_SHARE = 0.5
# Callbacks that count epochs, and whose counts are in no state.
COUNTING = (keras.callbacks.EarlyStopping, keras.callbacks.ReduceLROnPlateau)
# Arguments of `keras.Model.fit` that say nothing to `TargetBatches`, and why.
REFUSED = {
    "y": "the batches hold their targets",
    "batch_size": "the batches have one: `TargetBatches(batch_size=...)`",
    "sample_weight": "the weight of an example follows from its verdict",
    "class_weight": "responses have no classes",
    "steps_per_epoch": "an epoch is one pass over the current targets, and "
    "their number changes as suspects are left out and replaced",
    "validation_split": "batches cannot be split: pass a second "
    "`TargetBatches` as `validation_data`",
}


def check_compiled(model):
    """Refuses a model that is not compiled, in the words of Keras."""
    if not model.compiled:
        raise ValueError(
            "You must call `compile()` before calling `fit()`, such as "
            "`model.compile(keras.optimizers.AdamW(2e-4, use_ema=True))`. "
            "Received: a model that is not compiled"
        )


def check_source(name, x):
    """Refuses examples that were not put into batches of targets.

    Args:
        name: string, the argument of `fit`.
        x: its value.
    """
    first = x[0] if isinstance(x, (list, tuple)) and x else x
    fields = isinstance(first, dict) and {"prompts", "responses"} & set(first)
    if isinstance(x, (Examples, PreparedExamples)) or fields:
        raise ValueError(
            f"`{name}` must be batches, not the examples themselves: "
            "pass `keras_byorn.TargetBatches(examples, vlm, batch_size=16)`. "
            f"Received: a {type(x).__name__} of examples"
        )


def check_epochs(call):
    """Refuses a `fit` without an epoch.

    Keras would end it by giving the model the optimizer's average, which is
    zero before the first step.

    Args:
        call: dict of the arguments of `fit`.
    """
    first, end = call.get("initial_epoch", 0), call.get("epochs", 1)
    if first >= end:
        raise ValueError(
            "`initial_epoch` must be below `epochs`, or there is nothing to "
            f"train. Received: initial_epoch={first}, epochs={end}"
        )


def check_batches(model, batches, call):
    """Refuses arguments that do not go with `TargetBatches`.

    Args:
        model: the `BYORnModel`.
        batches: the `TargetBatches` that are given as `x`.
        call: dict of the other arguments of `fit`.
    """
    check_task("x", model, batches)
    for name, reason in REFUSED.items():
        value = call.get(name)
        if value is not None and not (name == "validation_split" and not value):
            raise ValueError(
                f"`{name}` must be left out with `TargetBatches`: {reason}. "
                f"Received: {name}={_shown(value)}"
            )
    _check_steps_per_execution(model)
    _check_devices(batches.batch_size)


def check_task(name, model, batches):
    """Refuses batches of another task than the model's."""
    if batches.task.task is not model.vlm:
        raise ValueError(
            f"`{name}` must be batches of the task in training: pass this "
            "`vlm` to `TargetBatches` and to `BYORnModel`. "
            "Received: TargetBatches of another "
            f"{type(batches.task.task).__name__}"
        )


def check_unchanged(model):
    """Refuses a task that was changed in a way that loses its reference.

    Args:
        model: a `BYORnModel`.
    """
    if model.adapters_merged:
        raise ValueError(
            "A model that was saved with LoRA must not be trained once it is "
            "loaded: its adapters are merged, so that all weights would be "
            "tuned, without a reference. Load the preset again, call "
            "`enable_lora` and `vlm.backbone.load_lora_weights('x.lora.h5')`; "
            "or make `BYORnModel(model.vlm)`, to tune the merged weights. "
            "Received: a loaded model with merged adapters"
        )
    layers = {id(layer) for layer in lora_layers(model.vlm)}
    if layers != model.lora_layer_ids:
        raise ValueError(
            "`vlm.backbone.enable_lora(...)` must come before "
            "`BYORnModel(vlm)`, which chooses its reference by it. Make the "
            f"model anew. Received: {len(layers)} layers with LoRA, and "
            f"{len(model.lora_layer_ids)} when the model was made"
        )
    if not model.trainable_variables:
        raise ValueError(
            "`vlm` must have something to train: set `vlm.trainable = True`. "
            "Received: a task without trainable variables"
        )
    if layers:
        _check_adapters(model)
    if not model.reference.adapters_off:
        return
    strays = trainable_beside_lora(model.vlm)
    if strays:
        raise ValueError(
            "Weights beside the adapters must stay frozen, for the reference "
            "is this model with its adapters off. Freeze them again, or make "
            "the `BYORnModel` after they were made trainable. Received: "
            f"{len(strays)} trainable weights, such as {strays[0].path!r}"
        )


def check_validation(model, data):
    """Refuses validation data that Keras would not take, or not rightly.

    Args:
        model: a `BYORnModel`.
        data: the argument `validation_data` of `fit`.
    """
    check_source("validation_data", data)
    if isinstance(data, TargetBatches):
        check_task("validation_data", model, data)
        _check_devices(data.batch_size)


def check_callbacks(callbacks, has_lora, has_targets):
    """Refuses callbacks that would break the defence.

    With LoRA, whole weights in a file have the adapters merged. A backup of
    weights has no targets: training would go on with nothing replaced.

    Args:
        callbacks: list of callbacks.
        has_lora: bool. Whether the model has adapters.
        has_targets: bool. Whether it trains on `TargetBatches`.
    """
    if has_lora:
        _refuse(
            callbacks,
            (keras.callbacks.BackupAndRestore, keras.callbacks.ModelCheckpoint),
            "with LoRA: the weights that it saves have the adapters merged, so "
            "that the reference is lost and nothing trains once they are "
            "loaded. Pass `BYORnCallback(state_dir='run')`, from which `fit` "
            "goes on; and save adapters with "
            "`vlm.backbone.save_lora_weights('x.lora.h5')`",
        )
    if has_targets:
        _refuse(
            callbacks,
            (keras.callbacks.BackupAndRestore,),
            "with `TargetBatches`: it keeps weights and no targets, so that a "
            "run that goes on has nothing replaced. Pass "
            "`BYORnCallback(state_dir='run')`, from which `fit` goes on",
        )


def _refuse(callbacks, kinds, reason):
    found = [type(c).__name__ for c in callbacks if isinstance(c, kinds)]
    if found:
        raise ValueError(
            f"`callbacks` must not have `{found[0]}` {reason}. "
            f"Received: {found}"
        )


def listed(callbacks):
    """Lists the user's callbacks, in any of the forms that `fit` takes."""
    if isinstance(callbacks, keras.callbacks.CallbackList):
        return callbacks.callbacks
    return keras.tree.flatten(callbacks or [])


def ends_at_nan(call):
    """Returns whether a callback of the user's ends a run that fails.

    Args:
        call: dict of the arguments of `fit`.
    """
    kind = keras.callbacks.TerminateOnNaN
    return any(isinstance(c, kind) for c in listed(call.get("callbacks")))


def go_on(call, num_epochs):
    """Lets `fit` begin behind the epochs that are done.

    Args:
        call: dict of the arguments of `fit`, changed here.
        num_epochs: int.
    """
    if not num_epochs:
        return
    call["initial_epoch"] = max(call.get("initial_epoch", 0), num_epochs)
    found = [
        type(c).__name__
        for c in listed(call.get("callbacks"))
        if isinstance(c, COUNTING)
    ]
    if found:
        warnings.warn(
            f"`{found[0]}` counts anew from here, for Keras keeps no state of "
            "its callbacks: the run may end or slow down later than an "
            "uninterrupted one.",
            stacklevel=4,
        )


def check_average(optimizer, num_steps):
    """Refuses an optimizer without an average; warns of one that lags.

    Args:
        optimizer: a Keras optimizer.
        num_steps: int. Steps in an epoch.
    """
    averaging = averaging_optimizers(optimizer)
    if not averaging:
        raise ValueError(
            "`teacher='ema'` takes the average that the optimizer keeps: "
            "compile with `use_ema=True`, such as "
            "`keras.optimizers.AdamW(2e-4, use_ema=True)`, or pass "
            "`teacher='student'`. Received: "
            f"{type(optimizer).__name__} with use_ema=False"
        )
    momentum = max(each.ema_momentum for each in averaging)
    share = momentum**num_steps
    if share > MAX_PRETRAINED_SHARE:
        warnings.warn(
            "`ema_momentum` is high for so few steps: after the first epoch "
            f"{share:.0%} of the teacher is still the pretrained model, and "
            "`fit` ends with that average. Lower it, to about "
            f"{MAX_PRETRAINED_SHARE ** (2 / num_steps):.2f}. Received: "
            f"ema_momentum={momentum} with {num_steps} steps in an epoch",
            stacklevel=5,
        )


def _check_adapters(model):
    adapters = adapter_variables(model.vlm)
    if not any(keras.ops.any(variable != 0) for variable in adapters):
        raise ValueError(
            "LoRA adapters must not all be zero, for then no gradient reaches "
            "them: `load_weights` and `load_model` leave them so, since "
            "`save_weights` merges them into the weights beside them. Load the "
            "preset again, call `enable_lora` and `vlm.backbone."
            "load_lora_weights('x.lora.h5')`. Received: "
            f"{len(adapters)} adapter weights that are zero"
        )


def _check_steps_per_execution(model):
    most = model.max_steps_per_execution
    if most is not None and model.steps_per_execution > most:
        raise ValueError(
            f"`steps_per_execution` must be {most} with this backend. Compile "
            "without it. Received: "
            f"steps_per_execution={model.steps_per_execution}"
        )


def _check_devices(batch_size):
    distribution = keras.distribution.distribution()
    axis = distribution and distribution.batch_dim_name
    if not axis:
        return
    mesh = distribution.device_mesh
    count = mesh.shape[mesh.axis_names.index(axis)]
    if batch_size % count:
        raise ValueError(
            "`batch_size` is that of all devices together, and they must "
            f"divide it. Pass `TargetBatches(batch_size="
            f"{math.ceil(batch_size / count) * count})`. Received: "
            f"batch_size={batch_size} for {count} devices"
        )


def _shown(value):
    is_plain = not isinstance(value, collections.abc.Sized)
    return repr(value) if is_plain else f"a {type(value).__name__}"
