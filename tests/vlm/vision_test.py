"""A backbone run from embeddings of images computes what it did before."""

import family_contract
import keras
import keras_hub
import numpy as np
import pytest

from keras_byorn.detection.reference import FrozenReference
from keras_byorn.detection.response_writer import ResponseWriter
from keras_byorn.training.model import BYORnModel
from keras_byorn.training.target_batches import TargetBatches
from keras_byorn.vlm.response_logits import logits_of
from keras_byorn.vlm.task import VisionLanguageTask
from keras_byorn.vlm.tiny_models import TINY
from keras_byorn.vlm.tiny_models.pali_gemma import tiny_pali_gemma
from keras_byorn.vlm.tiny_models.presets import randomize_weights

NAMES = ("PaliGemma", "Gemma 3")
ALL_NAMES = (*NAMES, "Gemma 4", "BLIP-2 OPT", "BLIP-2 Flan-T5", "T5Gemma 2")
if keras.config.backend() == "torch":  # the others would compile for long
    NAMES = ALL_NAMES

# Layers of the decoder, none of the vision tower.
LORA_NAMES = {
    "BLIP-2 OPT": ["feedforward_intermediate_dense"],
    "BLIP-2 Flan-T5": ["query_projector", "value_projector"],
}
DECODER_NAMES = ["query", "value"]


def adapted(vlm, name=None):
    names = LORA_NAMES.get(name, DECODER_NAMES)
    vlm.backbone.enable_lora(4, target_layer_names=names)
    return vlm


def make_examples(vlm):
    """Makes examples of no, one and two images where a family reads several."""
    examples = family_contract.make_examples(vlm)
    if isinstance(examples[0]["images"], list):
        examples.append(
            {
                "example_id": "blind",
                "images": [],
                "prompts": "what colour is\n",
                "responses": "green",
            }
        )
    return examples


def prepare(vlm, **kwargs):
    examples = make_examples(vlm)
    return family_contract.prepare(vlm, examples, batch_size=3, **kwargs)


def as_numpy(values):
    return [keras.ops.convert_to_numpy(value) for value in values]


def encoded(prepared):
    vision = prepared.task.frozen_vision()
    assert vision is not None
    return prepared.images_encoded(vision)


@pytest.mark.parametrize("name", NAMES)
def test_log_likelihoods_are_the_same(load, name):
    """Embeddings of 0, 1 and 2 images give the scores that pixels give."""
    vlm = adapted(load(name), name)
    reference, prepared = FrozenReference.of(vlm), prepare(vlm)
    batches = prepared.scoring_batches()
    expected = reference.log_likelihoods(batches, verbose=0)
    with encoded(prepared):
        (x, *_), *_ = batches
        assert "image_embeddings" in x
        assert not set(x) & set(prepared.task.family.image_keys)
        found = reference.log_likelihoods(batches, verbose=0)
    assert np.abs(expected).max() > 1
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert "image_embeddings" not in batches[0][0]


def run(vlm, name, image_cache):
    """Fits; returns losses, and the adapters afterwards."""
    model = BYORnModel(adapted(vlm, name))
    # Adam would turn a rounding near a zero gradient into a full step.
    model.compile(optimizer=keras.optimizers.SGD(0.1))
    prepared = prepare(vlm, image_cache=image_cache)
    batches = TargetBatches(prepared, vlm, shuffle=False)
    history = model.fit(batches, epochs=3, verbose=0)
    return history.history["loss"], as_numpy(model.trainable_variables)


@pytest.mark.parametrize("name", NAMES)
def test_training_is_the_same(load, name):
    """Losses of three epochs are equal, and so are the adapters."""
    losses, adapters = run(load(name), name, image_cache="auto")
    expected_losses, expected = run(load(name), name, image_cache=None)
    assert expected_losses[-1] < expected_losses[0]
    np.testing.assert_allclose(losses, expected_losses, rtol=1e-5)
    for found, wanted in zip(adapters, expected, strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_generated_responses_are_the_same(load, name, monkeypatch):
    """Tokens are equal; afterwards the task reads images again."""
    # A task with random weights never ends a response.
    monkeypatch.setattr(VisionLanguageTask, "_until_end", lambda _, ids: ids)
    vlm = adapted(load(name), name)
    prepared = prepare(vlm)
    indices = np.arange(len(prepared))
    write = ResponseWriter(prepared, "greedy", len(indices))

    def generate():
        return write(indices, verbose=0)

    expected = generate()
    with encoded(prepared):
        found = generate()
    again = generate()
    assert len({text for text, _ in expected.values()}) > 1
    for other in (found, again):
        assert len(other) == len(expected)
        for index, (_, ids) in expected.items():
            np.testing.assert_array_equal(other[index][1], ids)


def test_a_random_tower_is_not_frozen():
    """With dropout the embeddings of an image differ in every step."""
    vlm = tiny_pali_gemma()
    vision = VisionLanguageTask(vlm).family.vision(vlm)
    assert not vision.is_frozen
    vlm.backbone.vit_encoder.trainable = False
    assert vision.is_frozen
    vision.layer = keras.layers.Dropout(0.0)
    assert vision.is_frozen
    vision.layer = keras.layers.Dropout(0.1)
    assert not vision.is_frozen


def equal(parts, others):
    """Whether two identities are equal, part by part."""
    pairs = zip(parts, others, strict=True)
    return all(np.array_equal(one, other) for one, other in pairs)


def test_the_identity_is_of_weights_and_architecture():
    """Names, which Keras numbers in the order of creation, do not matter."""
    tasks = []
    for _ in range(2):
        vlm = tiny_pali_gemma()
        randomize_weights(vlm)
        tasks.append(VisionLanguageTask(vlm))
    one, other = (task.family.vision(task.task) for task in tasks)
    assert equal(one.identity(), other.identity())
    assert equal(tasks[0].vision_identity(one), tasks[1].vision_identity(other))
    variable = other.layer.weights[-1]
    variable.assign(variable * 1.0001)
    assert not equal(one.identity(), other.identity())
    for version, module in zip(one.identity(), (keras, keras_hub)):
        assert version == module.__version__


def test_the_identity_is_of_the_image_converter():
    """Another scale of pixels gives other embeddings."""
    task = VisionLanguageTask(tiny_pali_gemma())
    vision = task.family.vision(task.task)
    before = list(task.vision_identity(vision))
    task.preprocessor.image_converter.scale = 1 / 255
    after = list(task.vision_identity(vision))
    assert equal(before[:-1], after[:-1]) and before[-1] != after[-1]


@pytest.mark.parametrize("name", ["Gemma 3, text only", "Gemma 3n", "Qwen"])
def test_other_backbones_are_left_whole(name):
    """They have no vision, or one that encodes a batch as a whole."""
    vlm = TINY[name]()
    vlm.trainable = False
    assert VisionLanguageTask(vlm).frozen_vision() is None


def test_adapters_that_come_later_are_seen(load):
    """The parts share the backbone's layers, and their adapters."""
    vlm = load("PaliGemma")
    vlm.backbone.trainable = False
    prepared = prepare(vlm)
    batches = prepared.scoring_batches()
    with encoded(prepared):
        x, _, _ = batches[0]
        before = keras.ops.convert_to_numpy(logits_of(vlm, x))
        adapted(vlm)
        assert vlm.trainable_variables
        for variable in vlm.trainable_variables:
            variable.assign(variable + 0.1)
        after = keras.ops.convert_to_numpy(logits_of(vlm, x))
    x, _, _ = batches[0]
    expected = keras.ops.convert_to_numpy(logits_of(vlm, x))
    assert np.abs(after - before).max() > 0.1
    np.testing.assert_allclose(after, expected, atol=1e-4)


@pytest.mark.slow
def test_a_tower_that_is_quantized_later_is_seen(load):
    """A program that was compiled before holds the former weights."""
    vlm = load("PaliGemma")
    vlm.backbone.trainable = False
    task = VisionLanguageTask(vlm)
    vision = task.frozen_vision()
    images = [e["images"] for e in make_examples(vlm)]
    before = task.encode_images(vision, images)
    num_parts = len(list(vision.identity()))
    vlm.backbone.quantize("int8")
    after = task.encode_images(vision, images)
    pixels = task.preprocessor.image_converter(np.stack(images))
    expected = keras.ops.convert_to_numpy(vision.layer(pixels))
    assert np.abs(after - before).max() > 1e-3
    np.testing.assert_allclose(after, expected, atol=1e-4)
    assert len(list(vision.identity())) > num_parts  # scales, too
