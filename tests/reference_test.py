"""The reference stays the pretrained model, whatever training does."""

import keras
import keras_hub
import numpy as np
import pytest

from keras_byorn.detection.reference import FrozenReference
from keras_byorn.training.model import BYORnModel


def train(vlm, batches):
    model = BYORnModel(vlm)
    model.compile(optimizer=keras.optimizers.Adam(0.05))
    model.fit(batches, epochs=3, verbose=0)
    return model


def score(model, batches):
    return model.reference.log_likelihoods(batches.originals(), verbose=0)


def difference(left, right):
    return np.abs(left - right).max()


def test_log_likelihoods_are_those_of_the_raw_logits(
    vlm, make_batches, response_log_likelihoods
):
    """Against NumPy; a row for each example, in order, none for fillers."""
    batches = make_batches(vlm, batch_size=4)
    reference = FrozenReference.of(vlm)
    scored = reference.log_likelihoods(batches.originals(), verbose=0)
    assert scored.dtype == "float32"
    expected = np.concatenate(
        [
            response_log_likelihoods(vlm, x, y, extra["response_mask"])
            for x, y, extra in batches.originals()
        ]
    )
    expected = expected[:6]
    assert scored.shape == expected.shape == (6, batches.text_length)
    np.testing.assert_allclose(scored, expected, atol=1e-5)
    mask = batches.response_mask
    assert np.all(scored[:6][~mask] == 0) and np.all(scored[:6][mask] < 0)


def test_lora_reference_is_the_untouched_model(
    make_vlm, make_batches, response_log_likelihoods
):
    """No second copy, and exact to 1e-6 before and after training."""
    untouched, vlm = make_vlm(), make_vlm(lora_rank=4)
    batches = make_batches(vlm, batch_size=6)
    model = BYORnModel(vlm)
    assert model.reference.task is vlm
    before = score(model, batches)
    x, y, extra = batches.originals()[0]
    mask = extra["response_mask"]
    expected = response_log_likelihoods(untouched, x, y, mask)
    np.testing.assert_allclose(before, expected, atol=1e-5)

    model = train(vlm, batches)
    assert difference(score(model, batches), before) <= 1e-6
    student = response_log_likelihoods(vlm, x, y, mask)
    assert difference(student, before) > 0.1  # it did learn


def test_full_fine_tuning_keeps_a_frozen_copy(
    vlm, make_batches, response_log_likelihoods
):
    """The copy has the weights of before and takes no part in training."""
    batches = make_batches(vlm, batch_size=6)
    reference = FrozenReference.of(vlm)
    assert reference.task is not vlm and not reference.trainable_variables
    before = reference.log_likelihoods(batches.originals(), verbose=0)
    x, y, extra = batches.originals()[0]
    mask = extra["response_mask"]
    expected = response_log_likelihoods(vlm, x, y, mask)
    np.testing.assert_allclose(before, expected, atol=1e-5)

    model = train(vlm, batches)
    np.testing.assert_array_equal(score(model, batches), before)
    student = response_log_likelihoods(vlm, x, y, mask)
    assert difference(student, before) > 0.1


def test_more_than_adapters_trainable_makes_a_copy(
    make_vlm, make_batches, response_log_likelihoods
):
    """Adapters off would not undo it; the copy has the adapters merged in."""
    vlm = make_vlm(lora_rank=4)
    vlm.backbone.get_layer("token_embedding").trainable = True
    for variable in vlm.trainable_variables:
        if "lora_kernel_b" in variable.name:
            variable.assign(variable + 0.1)
    reference = FrozenReference.of(vlm)
    assert reference.task is not vlm and not reference.adapters_off
    x, y, extra = make_batches(vlm, batch_size=6).originals()[0]
    mask = extra["response_mask"]
    expected = response_log_likelihoods(vlm, x, y, mask)
    scored = keras.ops.convert_to_numpy(reference(x, y, mask))
    np.testing.assert_allclose(scored, expected, atol=1e-5)
    assert any("lora" in v.name for v in vlm.trainable_variables)


def test_another_task_can_be_the_reference(
    make_vlm, make_batches, response_log_likelihoods
):
    """It judges with its own weights and is frozen, its adapters too."""
    vlm, judge = make_vlm(), make_vlm(lora_rank=2, seed=1)
    model = BYORnModel(vlm, reference=FrozenReference(judge))
    x, y, extra = make_batches(vlm, batch_size=6)[0]
    mask = extra["response_mask"]
    expected = response_log_likelihoods(judge, x, y, mask)
    scored = keras.ops.convert_to_numpy(model.reference(x, y, mask))
    np.testing.assert_allclose(scored, expected, atol=1e-5)
    assert not judge.trainable_variables
    assert len(model.trainable_variables) == len(vlm.trainable_variables)


def test_lora_on_no_layer_is_refused(vlm):
    """Keras matches nothing without a word; nothing would be trained."""
    vlm.backbone.enable_lora(4, target_layer_names=["no_such_layer"])
    with pytest.raises(ValueError, match="target_layer_names=.*no layer"):
        FrozenReference.of(vlm)


def test_nothing_to_train_is_refused(vlm):
    """A frozen model would go through all epochs and learn nothing."""
    vlm.trainable = False
    with pytest.raises(ValueError, match="enable_lora"):
        FrozenReference.of(vlm)


@pytest.mark.parametrize("make", [FrozenReference.of, BYORnModel])
def test_what_is_no_vlm_is_refused(make):
    """The message names the tasks that will do, and what came."""
    with pytest.raises(ValueError, match="PaliGemmaCausalLM.*Sequential"):
        make(keras.Sequential())


def test_a_task_without_preprocessor_is_refused(vlm):
    """Without it there is no tokenizer; the message says how to get one."""
    bare = keras_hub.models.PaliGemmaCausalLM(
        backbone=vlm.backbone, preprocessor=None
    )
    with pytest.raises(ValueError, match="from_preset.*preprocessor=None"):
        BYORnModel(bare)


def test_a_second_task_still_generates_after_it_has_scored(
    make_vlm, make_batches
):
    """Its preprocessor is built, not only said to be."""
    vlm, second = make_vlm(), make_vlm()
    model = BYORnModel(vlm, reference=FrozenReference(second))
    batches = make_batches(vlm)
    model.reference.evidence(batches.originals(), verbose=0)
    images = np.stack([batches.examples[i]["images"] for i in range(2)])
    texts = second.generate(
        {"images": images, "prompts": ["what\n"] * 2}, max_length=8
    )
    assert len(texts) == 2
