"""Contract of the families, and the traps of each.

The contract compiles a lot, so that JAX and TensorFlow run it for one family
of each shape; `benchmarks/vlm_contract` runs it for all on all.
"""

import pathlib

import family_contract
import keras
import numpy as np
import pytest

from keras_byorn.detection.reference import FrozenReference
from keras_byorn.vlm import packing, tiny_models
from keras_byorn.vlm.adapters import lora_candidates
from keras_byorn.vlm.families import FAMILIES, family_of
from keras_byorn.vlm.task import VisionLanguageTask
from keras_byorn.vlm.tiny_models import REFUSED, TINY
from keras_byorn.vlm.tiny_models.gemma import tiny_gemma3
from keras_byorn.vlm.tiny_models.presets import randomize_weights

COMPILED = ("Gemma 3", "BLIP-2 Flan-T5")
EAGER = tuple(name for name in TINY if name != "PaliGemma")
NAMES = EAGER if keras.config.backend() == "torch" else COMPILED


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_contract(presets, name):
    """Scores, trains, regenerates, adapts and saves."""
    family_contract.run_family_contract_test(name, *presets(name))


def test_every_family_has_a_tiny_model():
    """A new family without a test is not supported."""
    folder = pathlib.Path(tiny_models.__file__).parent
    source = "".join(path.read_text("utf-8") for path in folder.glob("*.py"))
    for family in FAMILIES:
        names = [task_class.__name__ for task_class in family.task_classes]
        assert any(f"models.{name}(" in source for name in names), names


@pytest.mark.parametrize("name", ["Gemma 3n"])
def test_lora_on_no_layer_names_the_candidates(load, name):
    """`enable_lora` itself is silent."""
    vlm = load(name)
    vlm.backbone.enable_lora(4)
    with pytest.raises(ValueError, match="target_layer_names=.*'q_proj'"):
        FrozenReference.of(vlm)
    assert {"q_proj", "v_proj"} <= set(lora_candidates(vlm.backbone))


def test_weights_of_the_backbone_itself_are_frozen_too(load):
    """T5Gemma 2 holds two, which adapters-off would not restore."""
    vlm = load("T5Gemma 2")
    vlm.backbone.enable_lora(4)
    assert FrozenReference.of(vlm).adapters_off


def test_logits_in_bfloat16_are_scored_in_float32():
    """A sum over the vocabulary in bfloat16 would be off by per cents."""
    vlm = tiny_gemma3(has_images=False, dtype="bfloat16")
    examples = family_contract.make_examples(vlm, 1)
    prepared = family_contract.prepare(vlm, examples, batch_size=1)
    x, y, extra = prepared.scoring_batches()[0]
    mask = extra["response_mask"]
    logits = vlm(x, training=False)
    assert keras.backend.standardize_dtype(logits.dtype) == "bfloat16"
    scored = FrozenReference(vlm)(x, y, mask)
    assert keras.backend.standardize_dtype(scored.dtype) == "float32"
    logits = keras.ops.convert_to_numpy(keras.ops.cast(logits, "float32"))
    expected = family_contract.numpy_log_likelihoods(logits, y, mask)
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(scored), expected, atol=1e-4
    )


def test_a_converter_that_forgot_its_tokens_is_refused(presets):
    """A reloaded Gemma 4 preset would feed half of an image."""
    task_class, folder = presets("Gemma 4")
    with pytest.raises(ValueError, match="max_soft_tokens=4, pooling_kernel"):
        family_of(task_class.from_preset(folder))


def test_a_converter_of_nearly_black_images_is_a_warning(load):
    """KerasHub makes one of a Hugging Face checkpoint of Gemma 3."""
    vlm = load("Gemma 3")
    converter = vlm.preprocessor.image_converter
    vlm.preprocessor.image_converter = type(converter)(
        image_size=converter.image_size,
        scale=[0.5 / 255] * 3,
        offset=[-1.0] * 3,
    )
    with pytest.warns(UserWarning, match="white -0.50.*image_std"):
        family_of(vlm)


def test_qwen_3_5_is_refused_until_it_generates_what_it_computes():
    """The fault behind the refusal: once this fails, support Qwen 3.5."""
    vlm = REFUSED["Qwen 3.5"]()
    with pytest.raises(ValueError, match="Qwen3_5CausalLM of KerasHub 0.32"):
        VisionLanguageTask(vlm)
    if keras.config.backend() != "torch":
        return  # others cannot compile its generation
    randomize_weights(vlm)
    token_ids, mask = packing.rows_of([np.array([5, 9, 20, 11, 7])], 16, pad=2)
    vlm.compile(sampler="greedy")
    outputs = vlm.make_generate_function()(
        {"token_ids": token_ids, "padding_mask": mask}, stop_token_ids=None
    )
    generated = keras.ops.convert_to_numpy(outputs["token_ids"])
    ones = np.ones_like(mask)
    logits = vlm({"token_ids": generated, "padding_mask": ones})
    likeliest = keras.ops.convert_to_numpy(logits).argmax(-1)
    assert (likeliest[0, 4:-1] != generated[0, 5:]).any()
