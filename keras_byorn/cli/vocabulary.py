"""A warning of texts that a model can only spell."""

import re
import warnings

# English in a vocabulary made for it has a token for about four characters.
MAX_TOKENS_A_CHARACTER = 0.4
_LATIN = re.compile(r"[A-Za-z' ,.-]+")


def warn_if_spelt(prepared):
    """Warns where a vocabulary has letters for the data, and no words.

    Only responses in Latin letters are looked at, for other scripts and
    numbers have a token for a character in good vocabularies, too.

    Args:
        prepared: a `PreparedExamples`.
    """
    lengths = [
        (len(ids), len(response))
        for ids, response in zip(prepared.response_ids, prepared.responses)
        if _LATIN.fullmatch(response)
    ]
    num_tokens = sum(tokens for tokens, _ in lengths)
    num_characters = sum(characters for _, characters in lengths)
    if num_tokens > MAX_TOKENS_A_CHARACTER * num_characters:
        mean = num_tokens / num_characters
        warnings.warn(
            "The vocabulary of the preset cannot encode these texts well: it "
            f"takes {mean:.2f} tokens a character, where "
            "one for about four is usual. Such a model hardly knows their "
            "words, and its scores tell little. Take another `--preset`.",
            stacklevel=3,
        )
