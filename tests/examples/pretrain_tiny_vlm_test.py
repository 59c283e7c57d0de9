"""Pretraining of the tiny model: its labels, and one smallest run."""

import json

import keras_hub
import numpy as np
import pretrain_tiny_vlm as script
import pytest

from keras_byorn.data import digit_scenes


def test_configs_have_names_of_their_own():
    """The bundled preset's scenes, or others under another name."""
    args = script.parse_arguments(["--out", "x"])
    assert script.make_config(args) is script.PRETRAINING
    args = script.parse_arguments(["--out", "x", "--tasks", "captions"])
    config = script.make_config(args)
    assert config.name == "pretraining_captions_40000"
    assert config.tasks == {"captions": 1.0}


def test_labels_of_scenes():
    """Index of digit, colour and relation, each in its list."""
    samples = digit_scenes.handwriting("test")
    scene = digit_scenes.draw_scene(np.random.default_rng(0), samples)
    labels = script.scene_labels([scene])
    colours, digits = list(digit_scenes.COLOURS), list(digit_scenes.DIGITS)
    assert colours[labels["first_colour"][0]] == scene.first[0]
    assert digits[labels["second_digit"][0]] == scene.second[1]


def test_right_words():
    """Words in their places, of the reference's words."""
    share = script.right_words(["red one", "blue"], ["red two", "blue six"])
    assert share == 0.5


def test_vocabulary_knows_every_text():
    """Bytes stand in for letters that the scenes lack."""
    train = {"prompts": ["what is left\n"] * 9, "responses": ["red six"] * 9}
    tokenizer = keras_hub.models.PaliGemmaTokenizer(
        proto=script.train_tokenizer(train)
    )
    assert tokenizer.vocabulary_size() == script.VOCABULARY_SIZE
    text = "red six, qué?"
    assert tokenizer.detokenize(tokenizer(text)) == text


@pytest.mark.slow
def test_smallest_run(tmp_path, capsys, monkeypatch):
    """Ends with the figures as JSON; the preset can be loaded."""
    monkeypatch.setattr(script, "NUM_UNSEEN", 8)
    script.main(
        [
            *("--out", str(tmp_path / "preset"), "--tasks", "captions"),
            *("--data-dir", str(tmp_path), "--num-examples", "32"),
            *("--batch-size", "16", "--epochs", "1", "--vision-epochs", "0"),
        ]
    )
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert list(figures) == ["captions", "minutes"]
    vlm = keras_hub.models.CausalLM.from_preset(str(tmp_path / "preset"))
    assert vlm.preprocessor.sequence_length == 32
