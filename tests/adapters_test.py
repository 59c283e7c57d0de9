"""Adapters switched off leave exactly the model that was there before."""

import keras
import numpy as np
import pytest

from keras_byorn import BYORnModel
from keras_byorn.detection.reference import TokenScoring
from keras_byorn.vlm.adapters import (
    adapters_off,
    adapters_zeroed,
    freeze_beside_lora,
    lora_layers,
    trainable_beside_lora,
)


def logits(vlm, batches):
    x, _, _ = batches[0]
    return keras.ops.convert_to_numpy(vlm(x, training=False))


def predicted(vlm, x):
    """Compiled, of what the preprocessor has seen to already."""
    return keras.Model.predict(vlm, x, verbose=0)


def in_numpy(variables):
    return [np.array(keras.ops.convert_to_numpy(v.value)) for v in variables]


def scramble(variables, seed=0):
    rng = np.random.default_rng(seed)
    for variable in variables:
        variable.assign(variable + rng.normal(0, 0.3, variable.shape))


def adapter_variables(vlm):
    return [
        variable
        for layer in lora_layers(vlm)
        for variable in layer.trainable_variables
        if "lora" in variable.name
    ]


def test_layers_with_an_adapter_are_found(make_vlm):
    """Query and value of both towers' attention, on PaliGemma."""
    vlm = make_vlm()
    assert lora_layers(vlm) == []
    vlm.backbone.enable_lora(4)
    names = [layer.name for layer in lora_layers(vlm)]
    assert len(names) == 4, names


def test_off_is_the_untouched_model(make_vlm, make_batches):
    """However far the adapters went, off is off, to 1e-6."""
    untouched, vlm = make_vlm(), make_vlm(lora_rank=4)
    batches = make_batches(vlm)
    before = logits(untouched, batches)
    with adapters_off(vlm):
        np.testing.assert_allclose(logits(vlm, batches), before, atol=1e-6)
    scramble(adapter_variables(vlm))
    assert np.abs(logits(vlm, batches) - before).max() > 0.1
    with adapters_off(vlm):
        np.testing.assert_allclose(logits(vlm, batches), before, atol=1e-6)


def test_adapters_come_back(make_vlm, make_batches):
    """After the block, and after an error in it, they work as before."""
    vlm = make_vlm(lora_rank=4)
    scramble(adapter_variables(vlm))
    batches = make_batches(vlm)
    before = logits(vlm, batches)
    with pytest.raises(RuntimeError), adapters_off(vlm):
        raise RuntimeError
    np.testing.assert_array_equal(logits(vlm, batches), before)


def test_zeroed_is_the_untouched_model_in_the_same_program(
    make_vlm, make_batches
):
    """`adapters_off` would not reach what is compiled already."""
    untouched, vlm = make_vlm(), make_vlm(lora_rank=4)
    scramble(adapter_variables(vlm))
    (x, _, _), values = make_batches(vlm)[0], in_numpy(adapter_variables(vlm))
    expected = predicted(untouched, x)
    tuned = predicted(vlm, x)
    assert np.abs(tuned - expected).max() > 0.1
    compiled = vlm.predict_function
    with pytest.raises(RuntimeError), adapters_zeroed(vlm):
        found = predicted(vlm, x)
        np.testing.assert_allclose(found, expected, atol=1e-6)
        raise RuntimeError
    assert vlm.predict_function is compiled
    for before, after in zip(values, in_numpy(adapter_variables(vlm))):
        np.testing.assert_array_equal(before, after)
    np.testing.assert_array_equal(predicted(vlm, x), tuned)


def test_an_interrupt_does_not_cost_an_adapter(make_vlm, monkeypatch):
    """Wherever it comes, even while they are set to zero."""
    vlm = make_vlm(lora_rank=4)
    scramble(adapter_variables(vlm))
    values = in_numpy(adapter_variables(vlm))
    zeros, calls = keras.ops.zeros, []

    def interrupted(*args):
        calls.append(args)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return zeros(*args)

    monkeypatch.setattr(keras.ops, "zeros", interrupted)
    with pytest.raises(KeyboardInterrupt), adapters_zeroed(vlm):
        pass
    for before, after in zip(values, in_numpy(adapter_variables(vlm))):
        np.testing.assert_array_equal(before, after)


def test_reference_and_student_score_by_one_program(
    make_vlm, make_batches, monkeypatch
):
    """One trace for each length of text, though one sees no adapters."""
    vlm = make_vlm(lora_rank=4)
    scramble(adapter_variables(vlm))
    batches = make_batches(vlm)
    model = BYORnModel(vlm)
    traces = []
    call = TokenScoring.call

    def traced(scoring, batch):
        traces.append(batch)
        return call(scoring, batch)

    monkeypatch.setattr(TokenScoring, "call", traced)
    first = model.reference.evidence(batches.originals(), verbose=0)
    num_traces = len(traces)
    student = model.evidence(batches.originals(), verbose=0)
    second = model.reference.evidence(batches.originals(), verbose=0)
    if keras.config.backend() != "torch":  # which runs the code every time
        assert len(traces) == num_traces
    difference = first.log_likelihoods - student.log_likelihoods
    assert np.abs(difference).max() > 0.1
    for one, other in zip(first, second):
        np.testing.assert_array_equal(one, other)


def test_biases_are_frozen_and_adapters_are_not(make_vlm):
    """A trained bias would change the reference behind the user's back."""
    vlm = make_vlm(lora_rank=4)
    beside = trainable_beside_lora(vlm)
    assert len(beside) == 2  # query and value of the image tower
    assert freeze_beside_lora(vlm.backbone) == len(beside)
    assert trainable_beside_lora(vlm) == []
    assert freeze_beside_lora(vlm.backbone) == 0
    trainable = {id(variable) for variable in vlm.trainable_variables}
    assert trainable == {id(v) for v in adapter_variables(vlm)}
    assert len(trainable) == 8


def test_what_else_is_trainable_is_listed(make_vlm):
    """Adapters off would not bring it back, so it must be known."""
    vlm = make_vlm(lora_rank=4)
    freeze_beside_lora(vlm.backbone)
    layer = vlm.backbone.get_layer("token_embedding")
    layer.trainable = True
    (variable,) = trainable_beside_lora(vlm)
    assert variable is layer.trainable_variables[0]
