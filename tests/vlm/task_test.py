"""Text and images in, ids and arrays out, for any family."""

import family_contract
import keras
import numpy as np
import pytest

from keras_byorn.vlm.families import family_of
from keras_byorn.vlm.keras_internals import flatten_layers
from keras_byorn.vlm.task import (
    VisionLanguageTask,
    build_preprocessor,
    images_of,
)
from keras_byorn.vlm.tiny_models import TINY
from keras_byorn.vlm.tiny_models.pali_gemma import tiny_pali_gemma

WITH_PROMPTS = ("PaliGemma 2", "Gemma 3", "Gemma 3, text only", "Gemma 4")


@pytest.mark.parametrize("name", WITH_PROMPTS)
def test_inputs_are_the_preprocessors(load, name):
    """KerasHub's own preprocessors split prompt and response here."""
    vlm = load(name)
    task = VisionLanguageTask(vlm)
    examples = family_contract.make_examples(vlm)
    raw = {key: [e[key] for e in examples] for key in ("prompts", "responses")}
    length = task.sequence_length
    packed = task.pack(
        task.tokenize_prompts(raw["prompts"]),
        task.tokenize(raw["responses"]),
        length + 1,
    )
    images = task.stack_images([example["images"] for example in examples])
    x, y, response_mask = task.training_inputs(images, *packed)
    if task.num_images[1]:
        raw["images"] = images
    expected = vlm.preprocessor(raw, sequence_length=length)
    expected = keras.tree.map_structure(keras.ops.convert_to_numpy, expected)
    for key in task.input_names:
        np.testing.assert_allclose(
            x[key].astype("float32"),
            expected[0][key].astype("float32"),
            atol=1e-6,
            err_msg=key,
        )
    np.testing.assert_array_equal(y, expected[1])
    np.testing.assert_array_equal(response_mask, expected[2].astype(bool))


@pytest.mark.parametrize("name", ["PaliGemma", "Gemma 3", "BLIP-2 Flan-T5"])
def test_arrays_have_the_documented_types(load, name):
    """Token ids are int32, masks bool, images float32."""
    vlm = load(name)
    task = VisionLanguageTask(vlm)
    examples = family_contract.make_examples(vlm)
    prompt_ids = task.tokenize_prompts([e["prompts"] for e in examples])
    response_ids = task.tokenize([e["responses"] for e in examples])
    assert {ids.dtype.name for ids in prompt_ids + response_ids} == {"int32"}
    packed = task.pack(prompt_ids, response_ids, task.sequence_length + 1)
    assert packed[0].dtype == packed[1].dtype == "int32"
    assert (task.num_tokens(packed) <= task.sequence_length).all()
    images = task.stack_images([example["images"] for example in examples])
    x, y, response_mask = task.training_inputs(images, *packed)
    assert list(x) == task.input_names
    assert (y.dtype, response_mask.dtype) == ("int32", "bool")
    assert x["images"].dtype == "float32"
    masks = [value for key, value in x.items() if key.endswith("mask")]
    assert {mask.dtype.name for mask in masks} == {"bool"}


@pytest.mark.parametrize(
    "name, ends",
    [
        ("Gemma 3", ["<eos>", "<end_of_turn>"]),
        ("Gemma 4", ["<eos>", "<turn|>"]),
        ("Llama 3", ["<|end_of_text|>", "<|eot_id|>"]),
        ("Gemma", ["<eos>"]),
        ("PaliGemma", ["<eos>"]),
    ],
)
def test_end_tokens(name, ends):
    """The task's own `generate` stops at each; no token is unknown."""
    task = VisionLanguageTask(TINY[name]())
    assert task.pieces(task.end_token_ids) == ends


def test_an_end_of_turn_ends_a_response_and_stays(load):
    """Its id is kept, as the task generated it; the text goes without."""
    task = VisionLanguageTask(load("Gemma 3"))
    end, turn = task.end_token_ids
    (word,) = (int(i) for i in task.tokenize(["red"])[0])
    assert list(task._until_end(np.array([word, turn, word, end]))) == [
        word,
        turn,
    ]
    assert list(task._until_end(np.array([word, end, turn]))) == [word]
    assert task._until_end(np.array([word, word])) is None
    assert task.detokenize([word, turn]).strip() == "red"


def test_pixel_range_follows_from_the_converter():
    """A converter without scale takes what the backbone takes."""
    vlm = tiny_pali_gemma()
    converter = vlm.preprocessor.image_converter
    task = VisionLanguageTask(vlm)
    assert task.pixel_range == pytest.approx((0.0, 255.0))
    converter.scale = converter.offset = None
    assert task.pixel_range == (-1.0, 1.0)


def test_inputs_are_selected_by_name():
    """Embeddings replace the images; other keys are dropped."""
    task = VisionLanguageTask(tiny_pali_gemma())
    batch = dict.fromkeys([*task.input_names, "weight"], 0)
    assert list(task.inputs_of(batch)) == task.input_names
    batch["image_embeddings"] = 1
    names = set(task.input_names) - {"images"} | {"image_embeddings"}
    assert set(task.inputs_of(batch)) == names


def test_a_built_preprocessor_has_only_built_layers():
    """With one that is not, Keras would not compile the first batch."""
    vlm = tiny_pali_gemma()
    layers = flatten_layers(vlm.preprocessor, include_self=False)
    assert not all(layer.built for layer in layers)
    build_preprocessor(vlm)
    layers = flatten_layers(vlm.preprocessor, include_self=False)
    assert all(layer.built for layer in layers)
    build_preprocessor(keras.Sequential([keras.layers.Dense(1)]))  # has none


def test_images_of_an_example_are_none_one_or_several():
    """An array is one image, a list several."""
    image = np.zeros((2, 2, 3), "uint8")
    assert images_of(None) == [] == images_of([])
    assert images_of(image) == [image]
    assert images_of([image, image]) == [image, image]


def test_other_tasks_are_refused():
    """The error names the task classes that are known."""
    with pytest.raises(ValueError, match="PaliGemmaCausalLM.*Sequential"):
        family_of(keras.Sequential())
    vlm = tiny_pali_gemma()
    vlm.preprocessor = None
    with pytest.raises(ValueError, match="without `preprocessor=None`"):
        VisionLanguageTask(vlm)
