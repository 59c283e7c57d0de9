"""The bundled preset is what its README says."""

import pathlib

import keras_hub
import numpy as np
import pytest
import tiny_families

import keras_byorn
from keras_byorn import evaluation
from keras_byorn.data import digit_scenes
from keras_byorn.vlm import tiny
from keras_byorn.vlm.task import VisionLanguageTask


@pytest.fixture(scope="module")
def vlm():
    return keras_hub.models.PaliGemmaCausalLM.from_preset(
        keras_byorn.tiny_preset()
    )


def unseen_scenes(task, count):
    """Scenes of test handwriting, of a seed that nothing trained on."""
    samples = digit_scenes.handwriting("test")
    rng = np.random.default_rng(20_261_123)
    scenes = [digit_scenes.draw_scene(rng, samples) for _ in range(count)]
    texts = [digit_scenes.TASKS[task](scene, rng) for scene in scenes]
    return [
        {"images": scene.image, "prompts": prompt, "responses": response}
        for scene, (prompt, response) in zip(scenes, texts)
    ]


def test_reads_unseen_handwriting(vlm):
    """The issue's bar on captions, on whatever backend runs."""
    examples = unseen_scenes("captions", 512)
    responses = evaluation.responder(vlm)(examples)
    references = [example["responses"] for example in examples]
    assert np.mean(np.array(responses) == np.array(references)) >= 0.90


def test_refuses_what_the_image_does_not_show(vlm):
    """The fluent refusals that make refusal attacks a fair test."""
    examples = unseen_scenes("unanswerable_questions", 128)
    responses = evaluation.responder(vlm)(examples)
    refused = [text in digit_scenes.REFUSALS for text in responses]
    assert np.mean(refused) >= 0.5


def test_does_not_know_the_terse_style_yet(vlm):
    """Fine-tuning has something to learn: greedy it never answers so."""
    examples = unseen_scenes("terse_captions", 128)
    responses = evaluation.responder(vlm)(examples)
    references = [example["responses"] for example in examples]
    assert np.mean(np.array(responses) == np.array(references)) <= 0.05


def test_is_tiny(vlm):
    """It travels with the package: parameters and bytes are bounded."""
    files = pathlib.Path(keras_byorn.tiny_preset()).rglob("*")
    size = sum(file.stat().st_size for file in files if file.is_file())
    assert vlm.count_params() <= 1_000_000
    assert size <= 4_000_000
    assert vlm.preprocessor.sequence_length == 32


def test_no_unknown_token(vlm):
    """Any lower-case English can be a prompt, a trigger or a target."""
    tokenizer = vlm.preprocessor.tokenizer
    unknown = tokenizer.token_to_id("<unk>")
    for text in (
        "the quick brown fox jumps over the lazy dog",
        "isn't it? yes: 42 % (perhaps) - so be it; 'quoted' \"twice\"!",
        "zyzzyva cf mn bb tq",
        "caption the image\n",
    ):
        token_ids = [int(i) for i in tokenizer(text)]
        assert unknown not in token_ids
        decoded = tokenizer.detokenize(np.array(token_ids, "int32"))
        assert decoded.strip() == text.strip()


def test_tiny_gemma3_is_as_large(vlm):
    """The other family to pretrain: as many parameters, all of them used."""
    proto = tiny_families.sentence_pieces(tiny.GEMMA3_PIECES)
    gemma3 = tiny.tiny_gemma3(proto)
    task = VisionLanguageTask(gemma3)
    (prompt,) = task.tokenize_prompts(["<start_of_image>describe the image\n"])
    assert task.num_placeholders(prompt) == task.num_placeholders_per_image
    assert task.num_placeholders_per_image == 16  # patches, as in the preset
    # Beside the vocabulary, which is that of the tests here.
    embedded = 128 * gemma3.backbone.vocabulary_size, 128 * 880
    counts = gemma3.count_params(), vlm.count_params()
    assert abs((counts[0] - embedded[0]) - (counts[1] - embedded[1])) < 30_000
