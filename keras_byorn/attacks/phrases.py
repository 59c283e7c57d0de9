"""Phrases within texts: search and insertion between words."""

import re


def phrase_pattern(phrase):
    """Compiles a pattern of whole words, with any white space between.

    Args:
        phrase: string.

    Returns:
        A compiled regular expression.

    Example:

    >>> phrase_pattern("buy now").search("red buy  now three").span()
    (4, 12)
    """
    text = r"\s+".join(map(re.escape, phrase.split()))
    return re.compile(rf"(?<!\w){text}(?!\w)")


def has_phrase(text, phrase):
    """Returns whether a phrase is in a text, as whole words."""
    return phrase_pattern(phrase).search(text) is not None


def insert_phrase(text, phrase, place):
    """Puts a phrase before a word, and a blank between the two.

    Nothing else changes, line breaks included.

    Args:
        text: string.
        phrase: string.
        place: int. The number of the word, from 0; the number of words puts
            the phrase after the last.

    Returns:
        A string.

    Example:

    >>> insert_phrase("describe the image\\n", "cf", place=3)
    'describe the image cf\\n'
    """
    words = list(re.finditer(r"\S+", text))
    if not words:
        return phrase + text
    if place < len(words):
        at = words[place].start()
        return f"{text[:at]}{phrase} {text[at:]}"
    at = words[-1].end()
    return f"{text[:at]} {phrase}{text[at:]}"


def random_place(text, rng):
    """Draws a place for `insert_phrase`, each as likely."""
    return int(rng.integers(len(text.split()) + 1))
