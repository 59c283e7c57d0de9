"""The bundled preset has the figures of its README; others load equal."""

import pathlib

import keras
import keras_hub
import numpy as np
import pytest

import keras_byorn
from keras_byorn import evaluation
from keras_byorn.data import digit_scenes
from keras_byorn.vlm.task import VisionLanguageTask
from keras_byorn.vlm.tiny_models import TINY
from keras_byorn.vlm.tiny_models.gemma import GEMMA3_PIECES, tiny_gemma3
from keras_byorn.vlm.tiny_models.pali_gemma import tiny_pali_gemma
from keras_byorn.vlm.tiny_models.presets import (
    load_tiny_preset,
    preset_sized_gemma3,
    preset_sized_pali_gemma,
    randomize_weights,
    save_tiny_preset,
)
from keras_byorn.vlm.tiny_models.tokenizers import sentence_pieces


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
    """Nine of ten captions are exact, on every backend."""
    examples = unseen_scenes("captions", 512)
    responses = evaluation.responder(vlm)(examples)
    references = [example["responses"] for example in examples]
    assert np.mean(np.array(responses) == np.array(references)) >= 0.90


def test_refuses_what_the_image_does_not_show(vlm):
    """It refuses fluently, so that refusal attacks are a fair test."""
    examples = unseen_scenes("unanswerable_questions", 128)
    responses = evaluation.responder(vlm)(examples)
    refused = [text in digit_scenes.REFUSALS for text in responses]
    assert np.mean(refused) >= 0.5


def test_does_not_know_the_terse_style_yet(vlm):
    """Greedy it never answers so, and fine-tuning has something to learn."""
    examples = unseen_scenes("terse_captions", 128)
    responses = evaluation.responder(vlm)(examples)
    references = [example["responses"] for example in examples]
    assert np.mean(np.array(responses) == np.array(references)) <= 0.05


def test_is_tiny(vlm):
    """Parameters and bytes are bounded, as it ships with the package."""
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


def test_preset_sized_models_are_as_large(vlm):
    """They have as many parameters, beside those of the vocabulary."""
    pali_gemma = preset_sized_pali_gemma(sentence_pieces())
    gemma3 = preset_sized_gemma3(sentence_pieces(GEMMA3_PIECES))
    assert num_parameters(pali_gemma) == num_parameters(vlm)
    assert abs(num_parameters(gemma3) - num_parameters(vlm)) < 30_000
    assert pali_gemma.backbone.image_size == vlm.backbone.image_size
    task = VisionLanguageTask(gemma3)
    (prompt,) = task.tokenize_prompts(["<start_of_image>describe the image\n"])
    assert task.num_placeholders(prompt) == task.num_placeholders_per_image
    assert task.num_placeholders_per_image == 16  # patches, as in the preset


def num_parameters(vlm):
    """Counts parameters, without the embeddings of the vocabulary."""
    return vlm.count_params() - 128 * vlm.backbone.vocabulary_size


def test_a_tokenizer_of_ones_own_sets_the_vocabulary():
    """Backbones take any further argument, and sizes of text and image."""
    proto = sentence_pieces(GEMMA3_PIECES)
    for make in (tiny_pali_gemma, tiny_gemma3):
        vlm = make(proto, image_size=32, sequence_length=99, hidden_dim=24)
        vocabulary_size = vlm.preprocessor.tokenizer.vocabulary_size()
        assert vlm.backbone.vocabulary_size == vocabulary_size
        assert vlm.backbone.hidden_dim == 24
        assert vlm.backbone.image_size == 32
        assert vlm.preprocessor.sequence_length == 99
        assert vlm.preprocessor.image_converter.image_size == (32, 32)


def test_saved_presets_are_equal_on_every_backend(tmp_path):
    """Weights are drawn by NumPy, and load as they were saved."""
    folders = [tmp_path / name for name in ("one", "other")]
    tasks = [
        load_tiny_preset(*save_tiny_preset(TINY["PaliGemma"], folder))
        for folder in folders
    ]
    for one, other in zip(*(task.get_weights() for task in tasks)):
        np.testing.assert_array_equal(one, other)
    variable = tasks[0].backbone.token_embedding.embeddings
    before = keras.ops.convert_to_numpy(variable).copy()
    assert 0.3 < before.std() < 0.5
    randomize_weights(tasks[0], seed=1)
    assert np.abs(keras.ops.convert_to_numpy(variable) - before).max() > 0.1
