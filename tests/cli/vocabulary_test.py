"""The warning of texts that a model can only spell."""

import types
import warnings

import pytest
from reader_cases.case import tiny

from keras_byorn.cli.vocabulary import told_to_a_shell, warn_if_spelt


def prepared(*pairs):
    return types.SimpleNamespace(
        responses=[text for text, _ in pairs],
        response_ids=[[0] * count for _, count in pairs],
    )


def test_words_in_letters_are_warned_of():
    """With the number of tokens a character."""
    spelt = prepared(("a dog runs", 10), ("two cats", 6), ("4711", 4))
    with pytest.warns(UserWarning, match="0.89 tokens a character.*--preset"):
        warn_if_spelt(spelt)


def test_words_numbers_and_other_scripts_are_not():
    """Nor a few texts among many, such as an attacker's."""
    known = [("a dog runs over grass", 6)] * 9
    for others in ([("12345678", 8)], [("一只狗在跑", 5)], [("zolt", 4)]):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warn_if_spelt(prepared(*known, *others))


def test_where_no_response_is_in_latin_letters_nothing_is_said():
    """Nor where there is none at all."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_if_spelt(prepared(("7", 1), ("一只狗", 3)))
        warn_if_spelt(prepared())


@pytest.mark.parametrize(
    "response, reason",
    [("Aeroplanes Mumbled", "cannot encode"), ("red three", "^`prompts` must")],
)
def test_the_vocabulary_is_the_reason_of_texts_that_are_too_long(
    response, reason
):
    """If it is; the options of a shell are named either way."""
    examples = [{"responses": response}] * 3
    remedy = "--sequence-length.*--on-bad drop"
    with pytest.raises(ValueError, match=f"{reason}.*{remedy}"):
        with told_to_a_shell(examples, tiny()):
            raise ValueError("`prompts` must fit the `sequence_length`")
    with pytest.raises(ValueError, match="^another$"):
        with told_to_a_shell(examples, None):
            raise ValueError("another")
