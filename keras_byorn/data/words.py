"""Words of a text, compared without case, punctuation or hidden characters."""

import re
import unicodedata

# Beside category Cf: default-ignorable code points of The Unicode Standard.
_IGNORABLE = (
    (0x034F, 0x034F),  # combining grapheme joiner
    (0x115F, 0x1160),  # Hangul fillers
    (0x17B4, 0x17B5),
    (0x180B, 0x180F),  # Mongolian variation selectors
    (0x2060, 0x206F),
    (0x3164, 0x3164),
    (0xFE00, 0xFE0F),  # variation selectors
    (0xFFA0, 0xFFA0),
    (0xFFF0, 0xFFF8),
    (0xE0000, 0xE0FFF),  # tags, more variation selectors
)
# Chinese, Japanese, Thai, Lao, Burmese and Khmer: one word a character.
_UNSPACED = (
    (0x0E00, 0x0EFF),
    (0x1000, 0x109F),
    (0x1780, 0x17FF),
    (0x2E80, 0x2FDF),
    (0x3005, 0x3007),
    (0x3021, 0x3035),
    (0x303B, 0x312F),
    (0x31A0, 0x31BF),
    (0x31F0, 0x31FF),
    (0x3400, 0x4DBF),
    (0x4E00, 0x9FFF),
    (0xAA60, 0xAA7F),
    (0xF900, 0xFAFF),
    (0x1AFF0, 0x1B16F),
    (0x20000, 0x3FFFF),
)
_APOSTROPHES = "'`´‘’‛ʻʼʽ′＇"
_BRAILLE_BLANK = "\u2800"
_ASCII_HIDDEN = {
    code: None
    for code in range(128)
    if chr(code) in _APOSTROPHES
    or unicodedata.category(chr(code)) == "Cc"
    and not chr(code).isspace()
}
_ASCII_WORD = re.compile("[0-9a-z]+")
# Over classes of characters: unspaced, word, mark.
_WORD = re.compile("um*|w[wm]*")


def normalized_words(text):
    """Splits a text into words that are equal if they read the same.

    Each word is case-folded and in Unicode form NFKC. Punctuation, symbols
    (emoji among them) and spaces part words and are dropped. Apostrophes and
    characters without ink are dropped and part nothing: control and format
    characters, soft hyphens, variation selectors, the combining grapheme
    joiner and all other default-ignorable code points. In Chinese, Japanese,
    Thai, Lao, Burmese and Khmer, each character with its marks is a word.

    Args:
        text: string. May hold lone surrogates, which part words.

    Returns:
        Tuple of strings, empty if the text has no letters and no digits.

    Example:

    >>> normalized_words("Don’t ＢＵＹ, it\\u200bs a ﬁsh!")
    ('dont', 'buy', 'its', 'a', 'fish')

    Reference:
        - [Unicode Standard Annex #15](https://unicode.org/reports/tr15/)
    """
    if text.isascii():
        return tuple(_ASCII_WORD.findall(text.lower().translate(_ASCII_HIDDEN)))
    folded = text.translate(_FOLDED)
    return tuple(
        # Composes what was decomposed character by character.
        unicodedata.normalize("NFC", folded[match.start() : match.end()])
        for match in _WORD.finditer(folded.translate(_CLASSES))
    )


def word_spans(text):
    """Returns the place in the text of each of its normalized words.

    Args:
        text: string.

    Returns:
        List of `(start, stop)`, one for each of `normalized_words(text)`, in
        characters of `text`. Words out of one character, such as the two of
        `"½"`, have the same place.

    Example:

    >>> word_spans("A dog.")
    [(0, 1), (2, 5)]
    """
    # The position in the text of each character of the folded text.
    sources = [
        position
        for position, character in enumerate(text)
        for _ in _FOLDED[ord(character)] or ""
    ]
    classes = text.translate(_FOLDED).translate(_CLASSES)
    return [
        (sources[match.start()], sources[match.end() - 1] + 1)
        for match in _WORD.finditer(classes)
    ]


def ngrams(words, max_words):
    """Collects the runs of neighbouring words.

    Args:
        words: tuple of strings.
        max_words: int. The length of the longest runs.

    Returns:
        Set of tuples of 1 to `max_words` words.

    Example:

    >>> sorted(ngrams(("a", "red", "bus"), 2))
    [('a',), ('a', 'red'), ('bus',), ('red',), ('red', 'bus')]
    """
    return {
        tuple(words[start : start + length])
        for length in range(1, max_words + 1)
        for start in range(len(words) - length + 1)
    }


def is_blank(text):
    """Returns whether a text shows nothing: no character of it has ink.

    Args:
        text: string.

    Example:

    >>> is_blank(" \\u200b\\n"), is_blank("'")
    (True, False)
    """
    return all(
        c.isspace()
        or c == _BRAILLE_BLANK
        or (c not in _APOSTROPHES and _is_hidden(c))
        for c in text
    )


class _Folded(dict):
    """Maps code points to their decomposed, case-folded text or `None`."""

    def __missing__(self, code):
        self[code] = value = self._fold(chr(code))
        return value

    def _fold(self, character):
        if _is_hidden(character):
            return None
        folded = unicodedata.normalize("NFKD", character).casefold()
        return "".join(c for c in folded if not _is_hidden(c)) or None


class _Classes(dict):
    """Maps code points of folded text to a letter for their class."""

    def __missing__(self, code):
        self[code] = value = self._classify(code)
        return value

    def _classify(self, code):
        character = chr(code)
        if unicodedata.category(character).startswith("M"):
            return "m"
        if not character.isalnum():
            return " "
        return "u" if _is_in(_UNSPACED, code) else "w"


_FOLDED = _Folded()
_CLASSES = _Classes()


def _is_hidden(character):
    """Returns whether a character has no ink or is an apostrophe."""
    category = unicodedata.category(character)
    return (
        character in _APOSTROPHES
        or category == "Cf"
        or (category == "Cc" and not character.isspace())
        or _is_in(_IGNORABLE, ord(character))
    )


def _is_in(ranges, code):
    return any(first <= code <= last for first, last in ranges)
