"""A backbone that starts at the embeddings of images is the same backbone."""

import keras
import numpy as np
import pytest
import tiny_families
import vlm_contract

from keras_byorn.detection.reference import FrozenReference
from keras_byorn.training.target_batches import TargetBatches
from keras_byorn.training.model import BYORnModel
from keras_byorn.training.regeneration import Regenerator
from keras_byorn.vlm.task import VisionLanguageTask, logits_of

NAMES = ("PaliGemma", "Gemma 3")
ALL_NAMES = (*NAMES, "Gemma 4", "BLIP-2 OPT", "BLIP-2 Flan-T5", "T5Gemma 2")
if keras.config.backend() == "torch":  # the others would compile for long
    NAMES = ALL_NAMES

# The decoder's, and not the vision tower's.
LORA_NAMES = {
    "BLIP-2 OPT": ["feedforward_intermediate_dense"],
    "BLIP-2 Flan-T5": ["query_projector", "value_projector"],
}
DECODER_NAMES = ["query", "value"]


@pytest.fixture(scope="module")
def load(tmp_path_factory):
    """A function that loads a family's tiny preset anew."""
    made = {}

    def get(name):
        if name not in made:
            folder = tmp_path_factory.mktemp("preset")
            made[name] = tiny_families.preset(name, folder)
        return tiny_families.load(*made[name])

    return get


def adapted(task, name=None):
    names = LORA_NAMES.get(name, DECODER_NAMES)
    task.backbone.enable_lora(4, target_layer_names=names)
    return task


def make_examples(task):
    """Of no, one and two images where a family reads several."""
    examples = vlm_contract.make_examples(task)
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


def make_batches(task, **kwargs):
    examples = make_examples(task)
    kwargs = {"batch_size": 3, "shuffle": False, **kwargs}
    return TargetBatches(examples, task, **kwargs)


def as_numpy(values):
    return [keras.ops.convert_to_numpy(value) for value in values]


def encoded(batches):
    vision = batches.task.frozen_vision()
    assert vision is not None
    return batches.images_encoded(vision)


@pytest.mark.parametrize("name", NAMES)
def test_log_likelihoods_are_the_same(load, name):
    """Scored from embeddings as from images, 0, 1 and 2 of them."""
    task = adapted(load(name), name)
    reference, batches = FrozenReference.of(task), make_batches(task)
    expected = reference.log_likelihoods(batches.originals(), verbose=0)
    with encoded(batches):
        (x, *_), *_ = batches.originals()
        assert "image_embeddings" in x
        assert not set(x) & set(batches.task.family.image_keys)
        found = reference.log_likelihoods(batches.originals(), verbose=0)
    assert np.abs(expected).max() > 1
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert "image_embeddings" not in batches.originals()[0][0]


def run(task, name, image_cache):
    """Losses, predictions and adapters of a fit."""
    model = BYORnModel(adapted(task, name))
    # Not Adam: near a zero gradient it makes much of a rounding.
    model.compile(optimizer=keras.optimizers.SGD(0.1))
    batches = make_batches(task, image_cache=image_cache)
    history = model.fit(batches, epochs=3, verbose=0)
    return history.history["loss"], as_numpy(model.trainable_variables)


@pytest.mark.parametrize("name", NAMES)
def test_training_is_the_same(load, name):
    """Losses of three epochs, and what the gradients made of the adapters."""
    losses, adapters = run(load(name), name, image_cache="auto")
    expected_losses, expected = run(load(name), name, image_cache=None)
    assert expected_losses[-1] < expected_losses[0]
    np.testing.assert_allclose(losses, expected_losses, rtol=1e-5)
    for found, wanted in zip(adapters, expected, strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_generated_responses_are_the_same(load, name, monkeypatch):
    """Token by token; and afterwards the task sees images again."""
    # What has random weights never ends a response.
    monkeypatch.setattr(VisionLanguageTask, "_until_end", lambda _, ids: ids)
    task = adapted(load(name), name)
    batches = make_batches(task)
    indices = np.arange(len(batches.examples))
    regenerate = Regenerator(batches, "greedy", len(indices), seed=0)

    def generate():
        return regenerate(indices, verbose=0)

    expected = generate()
    with encoded(batches):
        found = generate()
    again = generate()
    assert len({text for text, _ in expected.values()}) > 1
    for other in (found, again):
        assert len(other) == len(expected)
        for index, (_, ids) in expected.items():
            np.testing.assert_array_equal(other[index][1], ids)


def test_what_is_random_is_not_frozen():
    """With dropout an image is seen otherwise in every step."""
    task = tiny_families.pali_gemma()
    vision = VisionLanguageTask(task).family.vision(task)
    assert not vision.is_frozen
    task.backbone.vit_encoder.trainable = False
    assert vision.is_frozen
    vision.layer = keras.layers.Dropout(0.0)
    assert vision.is_frozen
    vision.layer = keras.layers.Dropout(0.1)
    assert not vision.is_frozen


def test_the_digest_is_of_weights_and_architecture():
    """Not of the names, which Keras counts up."""
    tasks = [tiny_families.pali_gemma() for _ in range(2)]
    for task in tasks:
        tiny_families.scramble(task)
    one, other = (VisionLanguageTask(t).family.vision(t) for t in tasks)
    digest = one.digest()
    assert digest == other.digest()
    variable = other.layer.weights[-1]
    variable.assign(variable * 1.0001)
    assert other.digest() != digest


@pytest.mark.parametrize("name", ["Gemma 3, text only", "Gemma 3n", "Qwen"])
def test_what_cannot_be_parted_is_left_whole(name):
    """No eyes, or eyes that look at the batch as a whole."""
    task = tiny_families.TINY[name]()
    task.trainable = False
    assert VisionLanguageTask(task).frozen_vision() is None


def test_adapters_that_come_later_are_seen(load):
    """The parts share the backbone's layers, whatever happens to them."""
    task = load("PaliGemma")
    task.backbone.trainable = False
    batches = make_batches(task)
    with encoded(batches):
        x, _, _ = batches.originals()[0]
        before = keras.ops.convert_to_numpy(logits_of(task, x))
        adapted(task)
        assert task.trainable_variables
        for variable in task.trainable_variables:
            variable.assign(variable + 0.1)
        after = keras.ops.convert_to_numpy(logits_of(task, x))
    x, _, _ = batches.originals()[0]
    expected = keras.ops.convert_to_numpy(logits_of(task, x))
    assert np.abs(after - before).max() > 0.1
    np.testing.assert_allclose(after, expected, atol=1e-4)


def test_a_tower_that_is_quantized_later_is_seen(load):
    """What was compiled before has other weights in it."""
    vlm = load("PaliGemma")
    vlm.backbone.trainable = False
    task = VisionLanguageTask(vlm)
    vision = task.frozen_vision()
    images = [e["images"] for e in make_examples(vlm)]
    before, digest = task.encode_images(vision, images), vision.digest()
    vlm.backbone.quantize("int8")
    after = task.encode_images(vision, images)
    pixels = task.preprocessor.image_converter(np.stack(images))
    expected = keras.ops.convert_to_numpy(vision.layer(pixels))
    assert np.abs(after - before).max() > 1e-3
    np.testing.assert_allclose(after, expected, atol=1e-4)
    assert vision.digest() != digest
