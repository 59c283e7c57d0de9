"""Every family behind the seam, and the traps of each.

The contract compiles a lot, so that JAX and TensorFlow run it for one family
of each shape; `examples/vlm_contract_table.py` runs it for all on all.
"""

import pathlib

import keras
import numpy as np
import pytest
import tiny_families
import vlm_contract

from keras_byorn.audit.html import one_picture
from keras_byorn.data.examples import Examples
from keras_byorn.detection.reference import FrozenReference
from keras_byorn.training.target_batches import TargetBatches
from keras_byorn.vlm import packing
from keras_byorn.vlm.adapters import lora_candidates
from keras_byorn.vlm.families import FAMILIES, family_of
from keras_byorn.vlm.task import VisionLanguageTask, sampler_of

COMPILED = ("Gemma 3", "BLIP-2 Flan-T5")
EAGER = tuple(name for name in tiny_families.TINY if name != "PaliGemma")
NAMES = EAGER if keras.config.backend() == "torch" else COMPILED


@pytest.fixture(scope="session")
def presets(tmp_path_factory):
    """A function from a family's name to its class and a preset of it."""
    made = {}

    def get(name):
        if name not in made:
            folder = tmp_path_factory.mktemp("preset")
            made[name] = tiny_families.preset(name, folder)
        return made[name]

    return get


@pytest.fixture
def load(presets):
    """A function that loads a family's tiny preset anew."""
    return lambda name: tiny_families.load(*presets(name))


@pytest.fixture(scope="module")
def gemma3(presets):
    """A tiny Gemma 3, not to be changed."""
    return tiny_families.load(*presets("Gemma 3"))


def example(prompt="what <start_of_image> is\n", images=1, response="red"):
    shape = (tiny_families.IMAGE_SIZE,) * 2 + (3,)
    images = [np.full(shape, 40 + 50 * i, "uint8") for i in range(images)]
    return {
        "example_id": "scene",
        "images": images,
        "prompts": prompt,
        "responses": response,
    }


def batches_of(task, *examples, **kwargs):
    numbered = [dict(e, example_id=f"{i}") for i, e in enumerate(examples)]
    kwargs = {"batch_size": len(examples), "shuffle": False, **kwargs}
    return TargetBatches(numbered, task, **kwargs)


@pytest.mark.parametrize("name", NAMES)
def test_contract(presets, name):
    """Scores, trains, regenerates, adapts and saves."""
    vlm_contract.run_vlm_contract_test(name, *presets(name))


WITH_PROMPTS = ("PaliGemma 2", "Gemma 3", "Gemma 3, text only", "Gemma 4")


@pytest.mark.parametrize("name", WITH_PROMPTS)
def test_inputs_are_the_preprocessors(load, name):
    """Against KerasHub's own, which knows prompt and response here."""
    task = load(name)
    examples = vlm_contract.make_examples(task)
    batches = batches_of(task, *examples)
    x, y, extra = batches[0]
    raw = {key: [e[key] for e in examples] for key in ("prompts", "responses")}
    if batches.task.num_images[1]:
        raw["images"] = batches.images(range(len(examples)))
    expected = task.preprocessor(raw, sequence_length=batches.text_length)
    expected = keras.tree.map_structure(keras.ops.convert_to_numpy, expected)
    for key in batches.task.input_names:
        np.testing.assert_allclose(
            x[key].astype("float32"),
            expected[0][key].astype("float32"),
            atol=1e-6,
            err_msg=key,
        )
    np.testing.assert_array_equal(y, expected[1])
    np.testing.assert_array_equal(
        extra["response_mask"], expected[2].astype(bool)
    )


@pytest.mark.parametrize("images, prompt", [(1, "what is\n"), (0, None)])
def test_a_missing_placeholder_is_refused(gemma3, images, prompt):
    """The task would not see the image, and say nothing of it."""
    bad = example(images=images)
    bad["prompts"] = prompt or bad["prompts"]
    with pytest.raises(ValueError, match="'<start_of_image>' once for each"):
        batches_of(gemma3, example(), bad)


def test_a_placeholder_that_would_be_cut_is_refused(gemma3):
    """KerasHub's packer takes from the prompt's end, where the image is."""
    far = example("red " * 30 + "<start_of_image>\n")
    with pytest.raises(ValueError, match="sequence_length.*'0'"):
        batches_of(gemma3, far)


@pytest.mark.parametrize(
    "change", [{"responses": "red <img>"}, {"prompts": "<img> what\n"}]
)
def test_a_smuggled_placeholder_is_refused(gemma3, change):
    """Untrusted text that would take an image's place."""
    bad = {**example("what is\n", images=0), **change}
    with pytest.raises(ValueError, match="must not hold the placeholder.*'1'"):
        batches_of(gemma3, example(), bad)


def test_too_many_images_are_refused(gemma3):
    """With the number that the preprocessor allows."""
    many = example("<start_of_image>" * 3, images=3)
    with pytest.raises(ValueError, match="0 to 2.*3 images"):
        batches_of(gemma3, many)


def test_no_image_at_all_is_a_warning(gemma3):
    """Most likely they have another name."""
    source = [dict(example("what is\n"), image=1)]
    del source[0]["images"]
    with pytest.warns(UserWarning, match="rename={'image': 'images'}"):
        TargetBatches(source, gemma3)


def test_a_task_of_one_image_wants_one(load):
    """And says how several, or none, are given elsewhere."""
    task = load("PaliGemma")
    for images in (0, 2):
        with pytest.raises(ValueError, match=f"`images`.* 1 .*{images} images"):
            batches_of(task, example("what\n", images=images))
    assert len(batches_of(task, example("what\n", images=1))) == 1


def test_images_of_an_example_are_none_one_or_several():
    """Nested lists of numbers, as data sets give them, are one image."""
    image = np.zeros((2, 2, 3), "uint8")
    source = [image, image.tolist(), [image, image], [], None]
    rows = [
        {"example_id": f"{i}", "images": v, "prompts": "p", "responses": "r"}
        for i, v in enumerate(source)
    ]
    one, nested, several, empty, none = (e["images"] for e in Examples(rows))
    assert one.shape == nested.shape == (2, 2, 3)
    assert [v.shape for v in several] == [(2, 2, 3)] * 2
    assert empty == [] and none is None


def test_other_images_leave_an_example_as_it_is(load):
    """Gemma 3n counts images through the batch; a gap must shift none."""
    task = load("Gemma 3n")
    one = example("<start_of_image>\n", images=1)
    two = example("<start_of_image><start_of_image>\n", images=2)
    none = example("what is\n", images=0)
    two["images"] = [255 - image for image in two["images"]]
    mixed = batches_of(task, one, none, two)[0][0]["images"]
    converted = [
        image
        for e in (one, two)
        for image in batches_of(task, e)[0][0]["images"][0][: len(e["images"])]
    ]
    flat = mixed.reshape(-1, *mixed.shape[2:])
    np.testing.assert_allclose(flat[:3], converted, atol=1e-6)


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
    """All that the task's own `generate` stops at; none that is unknown."""
    seam = VisionLanguageTask(tiny_families.TINY[name]())
    assert seam.pieces(seam.end_token_ids) == ends


def test_an_end_of_turn_ends_a_response_and_stays(gemma3):
    """As ids it is kept, for it was written; the text goes without it."""
    seam = VisionLanguageTask(gemma3)
    end, turn = seam.end_token_ids
    (word,) = (int(i) for i in seam.tokenize(["red"])[0])
    assert list(seam._until_end(np.array([word, turn, word, end]))) == [
        word,
        turn,
    ]
    assert list(seam._until_end(np.array([word, end, turn]))) == [word]
    assert seam._until_end(np.array([word, word])) is None
    assert seam.detokenize([word, turn]).strip() == "red"


@pytest.mark.parametrize("name", ["Gemma 3n"])
def test_lora_on_no_layer_says_which_names_there_are(load, name):
    """`enable_lora` itself is silent."""
    task = load(name)
    task.backbone.enable_lora(4)
    with pytest.raises(ValueError, match="target_layer_names=.*'q_proj'"):
        FrozenReference.of(task)
    assert {"q_proj", "v_proj"} <= set(lora_candidates(task.backbone))


def test_weights_of_the_backbone_itself_are_frozen_too(load):
    """T5Gemma 2 holds two; trained, adapters-off would not bring them back."""
    task = load("T5Gemma 2")
    task.backbone.enable_lora(4)
    assert FrozenReference.of(task).adapters_off


def test_logits_in_bfloat16_are_scored_in_float32():
    """The sum over a vocabulary in bfloat16 would be off by per cents."""
    task = tiny_families.gemma3(has_images=False, dtype="bfloat16")
    x, y, extra = batches_of(task, example("what\n", images=0))[0]
    mask = extra["response_mask"]
    logits = task(x, training=False)
    assert keras.backend.standardize_dtype(logits.dtype) == "bfloat16"
    scored = FrozenReference(task)(x, y, mask)
    assert keras.backend.standardize_dtype(scored.dtype) == "float32"
    logits = keras.ops.convert_to_numpy(keras.ops.cast(logits, "float32"))
    expected = vlm_contract.numpy_log_likelihoods(logits, y, mask)
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(scored), expected, atol=1e-4
    )


def test_the_users_sampler_comes_back(load):
    """BLIP-2 with T5 samples by default; regeneration must not, nor stay."""
    task = load("BLIP-2 Flan-T5")
    task.compile(sampler="top_k")
    before = task.sampler
    with sampler_of(task, object()):
        assert task.sampler is not before
    assert task.sampler is before


def test_a_converter_that_forgot_its_tokens_is_refused(presets):
    """A reloaded Gemma 4 preset would feed half of an image."""
    task_class, folder = presets("Gemma 4")
    with pytest.raises(ValueError, match="max_soft_tokens=4, pooling_kernel"):
        family_of(task_class.from_preset(folder))


def test_a_converter_of_nearly_black_images_is_a_warning(load):
    """What KerasHub makes of a Hugging Face checkpoint of Gemma 3."""
    task = load("Gemma 3")
    converter = task.preprocessor.image_converter
    task.preprocessor.image_converter = type(converter)(
        image_size=converter.image_size,
        scale=[0.5 / 255] * 3,
        offset=[-1.0] * 3,
    )
    with pytest.warns(UserWarning, match="white -0.50.*image_std"):
        family_of(task)


def test_every_family_has_a_tiny_preset():
    """A new family that is not tested is not supported."""
    made = pathlib.Path(tiny_families.__file__).read_text("utf-8")
    for family in FAMILIES:
        names = [task_class.__name__ for task_class in family.task_classes]
        assert any(f"models.{name}(" in made for name in names), names


def test_qwen_3_5_is_refused_until_it_generates_what_it_computes():
    """The refusal, and the fault: when this fails, it can be supported."""
    task = tiny_families.qwen3_5()
    with pytest.raises(ValueError, match="Qwen3_5CausalLM of KerasHub 0.32"):
        VisionLanguageTask(task)
    if keras.config.backend() != "torch":
        return  # others cannot compile its generation
    tiny_families.scramble(task)
    token_ids, mask = packing.rows_of([np.array([5, 9, 20, 11, 7])], 16, pad=2)
    task.compile(sampler="greedy")
    outputs = task.make_generate_function()(
        {"token_ids": token_ids, "padding_mask": mask}, stop_token_ids=None
    )
    generated = keras.ops.convert_to_numpy(outputs["token_ids"])
    ones = np.ones_like(mask)
    logits = task({"token_ids": generated, "padding_mask": ones})
    likeliest = keras.ops.convert_to_numpy(logits).argmax(-1)
    assert (likeliest[0, 4:-1] != generated[0, 5:]).any()


def test_the_audit_shows_all_images_of_an_example():
    """Side by side; and a white picture where there is none."""
    one, two = (np.full((4, 5, 3), value, "uint8") for value in (1, 2))
    assert one_picture(one) is one
    assert (
        one_picture([one, two]).mean(axis=(0, 2)).tolist() == [1] * 5 + [2] * 5
    )
    assert one_picture(None).min() == one_picture([]).min() == 255


def test_rows_are_never_cut():
    """Unlike KerasHub's packers, which keep the end and drop the middle."""
    with pytest.raises(ValueError, match="length=2 for a row of 3 tokens"):
        packing.rows_of([np.arange(3)], 2, pad=0)


def test_text_may_have_the_padding_id():
    """0 is "!" to Llama 3 and Qwen: lengths, not ids, tell padding apart."""
    prompt, response = np.array([0, 5]), np.array([0, 0, 7])
    ids, marked = packing.rows_of_segments([(prompt, response)], 8, pad=0)
    np.testing.assert_array_equal(ids, [[0, 5, 0, 0, 7, 0, 0, 0]])
    np.testing.assert_array_equal(marked, [[0, 0, 1, 1, 1, 0, 0, 0]])
    np.testing.assert_array_equal(
        packing.up_to_last(marked), [[1, 1, 1, 1, 1, 0, 0, 0]]
    )


def test_positions_are_counted_within_a_row():
    """Padded with the first position, which the tasks put back."""
    marked = np.array([[0, 1, 1, 0], [0, 0, 0, 0], [1, 0, 0, 1]], bool)
    np.testing.assert_array_equal(
        packing.positions(marked, 2), [[1, 2], [0, 0], [0, 3]]
    )


def test_a_batch_as_large_as_its_images_is_refused(load):
    """Keras on TensorFlow takes a column for a row then."""
    task = load("Gemma 3")
    examples = [example()] * 8  # two images of four placeholders
    with pytest.raises(ValueError, match="batch_size=8 with 8 placeholders"):
        batches_of(task, *examples)[0]
    assert batches_of(task, *examples, batch_size=7)[0]
