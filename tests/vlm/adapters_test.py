"""LoRA adapters, listed, frozen beside and switched off."""

import keras
import numpy as np
import pytest

from keras_byorn.detection.token_scoring import TokenScoring
from keras_byorn.training.model import BYORnModel
from keras_byorn.vlm.adapters import (
    adapter_variables,
    adapters_off,
    adapters_zeroed,
    freeze_beside_lora,
    lora_candidates,
    lora_layers,
    trainable_beside_lora,
)


def logits(vlm, batches):
    x, _, _ = batches[0]
    return keras.ops.convert_to_numpy(vlm(x, training=False))


def predicted(vlm, x):
    """Predicts from preprocessed inputs, compiled."""
    return keras.Model.predict(vlm, x, verbose=0)


def in_numpy(variables):
    return [np.array(keras.ops.convert_to_numpy(v.value)) for v in variables]


def scramble(variables, seed=0):
    rng = np.random.default_rng(seed)
    for variable in variables:
        variable.assign(variable + rng.normal(0, 0.3, variable.shape))


def test_layers_with_an_adapter_are_found(make_vlm):
    """PaliGemma has them on query and value of both towers' attention."""
    vlm = make_vlm()
    assert lora_layers(vlm) == []
    vlm.backbone.enable_lora(4)
    names = [layer.name for layer in lora_layers(vlm)]
    assert len(names) == 4, names


def test_off_is_the_untouched_model(make_vlm, make_batches):
    """Large adapters change nothing either, to 1e-6."""
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
    """They work as before after the block, even if it raised an error."""
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
    """It may come even while they are set to zero."""
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
    """There is one trace for each length of text, with adapters or not."""
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
    batches = batches.prepared.scoring_batches()
    first = model.reference.score(batches, verbose=0)
    num_traces = len(traces)
    student = model.score(batches, verbose=0)
    second = model.reference.score(batches, verbose=0)
    if keras.config.backend() != "torch":  # which runs the code every time
        assert len(traces) == num_traces
    difference = first.log_likelihoods - student.log_likelihoods
    assert np.abs(difference).max() > 0.1
    for one, other in zip(first, second):
        np.testing.assert_array_equal(one, other)


def test_biases_are_frozen_and_adapters_are_not(make_vlm):
    """A trained bias would change the reference silently."""
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
    """Switching adapters off would not restore it."""
    vlm = make_vlm(lora_rank=4)
    freeze_beside_lora(vlm.backbone)
    layer = vlm.backbone.get_layer("token_embedding")
    layer.trainable = True
    (variable,) = trainable_beside_lora(vlm)
    assert variable is layer.trainable_variables[0]


def test_candidates_are_names_of_dense_layers(make_vlm):
    """Each name is listed once, and `enable_lora` matches any of them."""
    vlm = make_vlm()
    names = lora_candidates(vlm.backbone)
    assert {"query", "value"} <= set(names)
    assert len(names) == len(set(names))
    vlm.backbone.enable_lora(2, target_layer_names=names)
    assert {layer.name for layer in lora_layers(vlm)} <= set(names)
    assert len(lora_layers(vlm)) >= len(names)


def test_weights_of_the_backbone_itself_are_frozen(load):
    """T5Gemma 2 holds two, which no adapter brings back."""
    vlm = load("T5Gemma 2")
    vlm.backbone.enable_lora(4)
    assert len(trainable_beside_lora(vlm)) == 2
    assert freeze_beside_lora(vlm.backbone) == 2
    assert trainable_beside_lora(vlm) == []
