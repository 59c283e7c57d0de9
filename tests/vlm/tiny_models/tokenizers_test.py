"""Vocabularies of the tiny models."""

import sys

import keras_hub
import pytest

from keras_byorn.vlm.tiny_models.tokenizers import (
    WORDS,
    byte_pairs,
    sentence_pieces,
    train_sentence_pieces,
)


def test_words_are_tokens_and_newlines_stay():
    """Text is neither normalized nor stripped."""
    tokenizer = keras_hub.models.PaliGemmaTokenizer(proto=sentence_pieces())
    for word in WORDS:
        assert len(tokenizer(f"red {word}")) == 2, word
    text = "what red is\n"
    assert tokenizer.detokenize(tokenizer(text)) == text


def test_pieces_and_names_are_in_the_vocabulary():
    """Special ids are those that KerasHub's tokenizers take."""
    proto = sentence_pieces(("<img>",), eos_piece="</s>")
    tokenizer = keras_hub.tokenizers.SentencePieceTokenizer(proto=proto)
    pieces = [tokenizer.id_to_token(index) for index in range(6)]
    assert pieces == ["<pad>", "</s>", "<bos>", "<unk>", "\n", "<img>"]


def test_options_replace_the_defaults():
    """A model of characters has no piece of two letters."""
    proto = train_sentence_pieces(
        ["abc"], vocab_size=50, model_type="char", hard_vocab_limit=False
    )
    tokenizer = keras_hub.tokenizers.SentencePieceTokenizer(proto=proto)
    assert len(tokenizer("abc")) == 4  # with the mark of a word's beginning


def test_without_sentencepiece_the_error_names_the_extra(monkeypatch):
    """It is only needed to train a tokenizer."""
    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    with pytest.raises(ImportError, match=r"keras-byorn\[data\]"):
        train_sentence_pieces(["a"], vocab_size=30)


def test_byte_pairs_merge_words():
    """Special tokens have the first ids, words one token each."""
    vocabulary, merges = byte_pairs("<s>", "</s>")
    assert (vocabulary["<s>"], vocabulary["</s>"]) == (0, 1)
    assert sorted(vocabulary.values()) == list(range(len(vocabulary)))
    assert all(f"Ġ{word}" in vocabulary for word in WORDS)
    assert all("".join(pair.split()) in vocabulary for pair in merges)
