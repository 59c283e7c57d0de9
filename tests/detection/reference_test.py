"""The reference stays the pretrained model, whatever training does."""

import keras
import keras_hub
import numpy as np
import pytest

import keras_byorn
from keras_byorn.data.prepared import PreparedExamples
from keras_byorn.detection.reference import FrozenReference
from keras_byorn.training.model import BYORnModel


@pytest.fixture
def prepare(make_examples):
    """A function that prepares a few examples for a task."""

    def make(vlm, batch_size=6):
        return PreparedExamples(make_examples(), vlm, batch_size, verbose=0)

    return make


def train(vlm, prepared):
    """Trains for three epochs, so that every weight is another one."""
    model = BYORnModel(vlm)
    model.compile(optimizer=keras.optimizers.Adam(0.05))
    batches = keras_byorn.TargetBatches(prepared, vlm)
    model.fit(batches, epochs=3, verbose=0)
    return model


def score(model, prepared):
    batches = prepared.scoring_batches()
    return model.reference.log_likelihoods(batches, verbose=0)


def difference(left, right):
    return np.abs(left - right).max()


def test_log_likelihoods_are_those_of_the_raw_logits(
    vlm, prepare, response_log_likelihoods
):
    """Against NumPy; a row for each example, in order, none for fillers."""
    prepared = prepare(vlm, batch_size=4)
    reference = FrozenReference.of(vlm)
    batches = prepared.scoring_batches()
    scored = reference.log_likelihoods(batches, verbose=0)
    assert scored.dtype == "float32"
    expected = np.concatenate(
        [
            response_log_likelihoods(vlm, x, y, extra["response_mask"])
            for x, y, extra in batches
        ]
    )
    expected = expected[:6]
    assert scored.shape == expected.shape == (6, prepared.text_length)
    np.testing.assert_allclose(scored, expected, atol=1e-5)
    mask = prepared.response_mask
    assert np.all(scored[~mask] == 0) and np.all(scored[mask] < 0)


def test_lora_reference_is_the_untouched_model(
    make_vlm, prepare, response_log_likelihoods
):
    """No second copy, and exact to 1e-6 before and after training."""
    untouched, vlm = make_vlm(), make_vlm(lora_rank=4)
    prepared = prepare(vlm)
    model = BYORnModel(vlm)
    assert model.reference.task is vlm
    before = score(model, prepared)
    x, y, extra = prepared.scoring_batches()[0]
    mask = extra["response_mask"]
    expected = response_log_likelihoods(untouched, x, y, mask)
    np.testing.assert_allclose(before, expected, atol=1e-5)

    model = train(vlm, prepared)
    assert difference(score(model, prepared), before) <= 1e-6
    student = response_log_likelihoods(vlm, x, y, mask)
    assert difference(student, before) > 0.1  # it did learn


def test_full_fine_tuning_keeps_a_frozen_copy(
    vlm, prepare, response_log_likelihoods
):
    """The copy has the weights of before and takes no part in training."""
    prepared = prepare(vlm)
    reference = FrozenReference.of(vlm)
    assert reference.task is not vlm and not reference.trainable_variables
    batches = prepared.scoring_batches()
    before = reference.log_likelihoods(batches, verbose=0)
    x, y, extra = prepared.scoring_batches()[0]
    mask = extra["response_mask"]
    expected = response_log_likelihoods(vlm, x, y, mask)
    np.testing.assert_allclose(before, expected, atol=1e-5)

    model = train(vlm, prepared)
    np.testing.assert_array_equal(score(model, prepared), before)
    student = response_log_likelihoods(vlm, x, y, mask)
    assert difference(student, before) > 0.1


def test_more_than_adapters_trainable_makes_a_copy(
    make_vlm, prepare, response_log_likelihoods
):
    """Adapters off would not undo it; the copy has the adapters merged in."""
    vlm = make_vlm(lora_rank=4)
    vlm.backbone.get_layer("token_embedding").trainable = True
    for variable in vlm.trainable_variables:
        if "lora_kernel_b" in variable.name:
            variable.assign(variable + 0.1)
    reference = FrozenReference.of(vlm)
    assert reference.task is not vlm and not reference.adapters_off
    x, y, extra = prepare(vlm).scoring_batches()[0]
    mask = extra["response_mask"]
    expected = response_log_likelihoods(vlm, x, y, mask)
    scored = keras.ops.convert_to_numpy(reference(x, y, mask))
    np.testing.assert_allclose(scored, expected, atol=1e-5)
    assert any("lora" in v.name for v in vlm.trainable_variables)


def test_another_task_can_be_the_reference(
    make_vlm, prepare, response_log_likelihoods
):
    """It judges with its own weights and is frozen, its adapters too."""
    vlm, judge = make_vlm(), make_vlm(lora_rank=2, seed=1)
    model = BYORnModel(vlm, reference=FrozenReference(judge))
    x, y, extra = prepare(vlm).scoring_batches()[0]
    mask = extra["response_mask"]
    expected = response_log_likelihoods(judge, x, y, mask)
    scored = keras.ops.convert_to_numpy(model.reference(x, y, mask))
    np.testing.assert_allclose(scored, expected, atol=1e-5)
    assert not judge.trainable_variables
    assert len(model.trainable_variables) == len(vlm.trainable_variables)


def test_lora_on_no_layer_is_refused(vlm):
    """Keras matches nothing silently; nothing would be trained."""
    vlm.backbone.enable_lora(4, target_layer_names=["no_such_layer"])
    with pytest.raises(ValueError, match="target_layer_names=.*no layer"):
        FrozenReference.of(vlm)


def test_nothing_to_train_is_refused(vlm):
    """A frozen model would go through all epochs and learn nothing."""
    vlm.trainable = False
    with pytest.raises(ValueError, match="enable_lora"):
        FrozenReference.of(vlm)


@pytest.mark.parametrize("make", [FrozenReference.of, BYORnModel])
def test_a_model_that_is_no_vlm_is_refused(make):
    """The message names the tasks that will do, and the one that came."""
    with pytest.raises(ValueError, match="PaliGemmaCausalLM.*Sequential"):
        make(keras.Sequential())


def test_a_task_without_preprocessor_is_refused(vlm):
    """Without it there is no tokenizer; the message says how to get one."""
    bare = keras_hub.models.PaliGemmaCausalLM(
        backbone=vlm.backbone, preprocessor=None
    )
    with pytest.raises(ValueError, match="from_preset.*preprocessor=None"):
        BYORnModel(bare)


def test_a_second_task_still_generates_after_it_has_scored(make_vlm, prepare):
    """Its preprocessor is built, not only said to be."""
    vlm, second = make_vlm(), make_vlm()
    model = BYORnModel(vlm, reference=FrozenReference(second))
    prepared = prepare(vlm)
    model.reference.score(prepared.scoring_batches(), verbose=0)
    images = np.stack([prepared.examples[i]["images"] for i in range(2)])
    texts = second.generate(
        {"images": images, "prompts": ["what\n"] * 2}, max_length=8
    )
    assert len(texts) == 2


def test_a_released_reference_scores_nothing_more(vlm, prepare):
    """Scores that it gave stay; the error says how to get another."""
    prepared = prepare(vlm)
    reference = FrozenReference.of(vlm)
    found = reference.score(prepared.scoring_batches(), verbose=0)
    reference.release()
    assert reference.task is None and not reference.weights
    assert np.isfinite(found.log_likelihoods).all()
    x, y, extra = prepared.scoring_batches()[0]
    for call in (
        lambda: reference.score(prepared.scoring_batches(), verbose=0),
        lambda: reference(x, y, extra["response_mask"]),
    ):
        with pytest.raises(ValueError, match="`reference`.*FrozenReference\\("):
            call()
