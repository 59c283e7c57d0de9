"""Texts that a model can only spell: a warning, and a reason of an error."""

import contextlib
import itertools
import re
import warnings

from keras_byorn.vlm.task import VisionLanguageTask

# English in a vocabulary made for it has a token for about four characters.
MAX_TOKENS_A_CHARACTER = 0.4
NUM_TRIED = 100  # examples, where there are no prepared ones
_LATIN = re.compile(r"[A-Za-z' ,.-]+")


@contextlib.contextmanager
def told_to_a_shell(examples, vlm):
    """Adds the options of a shell to the error of texts that do not fit.

    Args:
        examples: an `Examples`, to be prepared within the block.
        vlm: the task that they are for.
    """
    try:
        yield
    except ValueError as error:
        if "sequence_length" not in str(error):
            raise
        some = itertools.islice(examples, NUM_TRIED)
        responses = [example["responses"] for example in some]
        ids = VisionLanguageTask(vlm).tokenize(responses)
        spelt = _spelt(ids, responses)
        raise ValueError(
            (f"{spelt} Therefore: " if spelt else "")
            + f"{error}. Pass `--sequence-length`, or `--on-bad drop` to leave "
            "them out."
        ) from error


def warn_if_spelt(prepared):
    """Warns where a vocabulary has letters for the data, and no words.

    Only responses in Latin letters are looked at, for other scripts and
    numbers have a token for a character in good vocabularies, too.

    Args:
        prepared: a `PreparedExamples`.
    """
    spelt = _spelt(prepared.response_ids, prepared.responses)
    if spelt:
        warnings.warn(spelt, stacklevel=3)


def _spelt(response_ids, responses):
    """Returns a warning of texts that are spelt, or `None`."""
    lengths = [
        (len(ids), len(response))
        for ids, response in zip(response_ids, responses)
        if _LATIN.fullmatch(response)
    ]
    num_tokens = sum(tokens for tokens, _ in lengths)
    num_characters = sum(characters for _, characters in lengths)
    if num_tokens <= MAX_TOKENS_A_CHARACTER * num_characters:
        return None
    return (
        "The vocabulary of the preset cannot encode these texts well: it "
        f"takes {num_tokens / num_characters:.2f} tokens a character, where "
        "one for about four is usual. Such a model hardly knows their "
        "words, and its scores tell little. Take another `--preset`."
    )
