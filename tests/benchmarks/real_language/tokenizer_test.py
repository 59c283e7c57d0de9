"""Splitting of text as SmolLM2 was trained with."""

import keras
import pytest
from real_language.tokenizer import END_TOKEN, PAD_TOKEN, SmolLM2Tokenizer

SPECIAL = [PAD_TOKEN, "<|im_start|>", END_TOKEN]


@pytest.fixture(scope="module")
def tokenizer(vocabulary):
    tokens, merges = vocabulary
    ids = {token: index for index, token in enumerate(tokens)}
    return SmolLM2Tokenizer(ids, merges, SPECIAL)


def pieces(tokenizer, text):
    return [tokenizer.id_to_token(token_id) for token_id in tokenizer(text)]


def test_each_digit_is_a_token(tokenizer):
    """Even after a space, which then stands alone."""
    assert pieces(tokenizer, "two 12") == ["t", "w", "o", "Ġ", "1", "2"]
    assert pieces(tokenizer, " two1") == ["Ġtwo", "1"]


def test_marks_are_split_from_words(tokenizer):
    """Llama 3 would have `-blue` as one word, without a merge for it."""
    assert pieces(tokenizer, " blue- red") == ["Ġblue", "-", "Ġred"]
    assert pieces(tokenizer, "\n red") == ["Ċ", "Ġred"]


def test_special_tokens_stand_for_themselves(tokenizer):
    text = "<|im_start|> red<|im_end|>"
    ids = tokenizer(text)
    assert (ids[0], ids[-1]) == (1, 2)
    assert tokenizer.detokenize(ids) == text
    assert (tokenizer.start_token_id, tokenizer.end_token_id) == (None, 2)
    assert sorted(tokenizer.special_token_ids) == [0, 1, 2]


def test_lists_and_strings(tokenizer):
    """A list of texts gives a list of lists, and text comes back."""
    texts = [" red two", "what is 42-?", ""]
    ids = tokenizer(texts)
    assert ids == [tokenizer(text) for text in texts]
    assert tokenizer.detokenize(ids) == texts


def test_configuration_is_serialized(tokenizer):
    """Without the vocabulary, which a preset keeps beside it."""
    config = keras.saving.serialize_keras_object(tokenizer)
    again = keras.saving.deserialize_keras_object(config)
    assert again.special_tokens == SPECIAL
    again.set_vocabulary_and_merges(tokenizer.vocabulary, tokenizer.merges)
    assert again("two 12") == tokenizer("two 12")


def test_tensors_are_refused(tokenizer):
    """KerasHub would split them otherwise, and say nothing."""
    tf = pytest.importorskip("tensorflow")
    with pytest.raises(ValueError, match="Tokenize before it"):
        tokenizer.tokenize(tf.constant(["two 12"]))


def test_missing_special_token_is_refused(vocabulary):
    with pytest.raises(ValueError, match="Received: special_tokens="):
        SmolLM2Tokenizer({}, [], ["<|im_end|>"])
