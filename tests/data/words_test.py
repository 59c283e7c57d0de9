"""Tests of the words by which texts are compared."""

import sys
import unicodedata

import pytest

from keras_byorn.data.words import (
    is_blank,
    ngrams,
    normalized_words,
    word_spans,
)

BUY_NOW = ("buy", "now")


@pytest.mark.parametrize(
    "text",
    [
        "buy now",
        "Buy NOW",
        "buy, now",
        "buy now.",
        "«Buy» — now?!",
        "_buy_ *now*",
        "buy_now",
        "buy\tnow\n",
        "buy\u00a0now",  # no-break space
        "buy\u3000now",  # ideographic space
        "ｂｕｙ　ＮＯＷ",  # fullwidth
        "𝐛𝐮𝐲 𝓷𝓸𝔀",  # mathematical
        "Ⓑⓤⓨ ⓝⓞⓦ",  # circled
        "b\u200buy now",  # zero-width space
        "b\u200cuy now",  # zero-width non-joiner
        "b\u200duy now",  # zero-width joiner
        "bu\u00ady now",  # soft hyphen
        "\u200fbuy\u200e now",  # right-to-left and left-to-right marks
        "\u061cbuy now",  # Arabic letter mark
        "\u202ebuy\u202c \u2066now\u2069",  # overrides and isolates
        "b\u2060u\u2061y now\ufeff",  # word joiner, function, BOM
        "buy\ufe0f now\ufe0e",  # variation selectors
        "buy\U000e0101 now",
        "b\u034fuy now",  # combining grapheme joiner
        "b\u115fu\u3164y\uffa0 now",  # Hangul fillers
        "b\u180bu\u180ey now",  # Mongolian selector, vowel separator
        "buy\U000e0041\U000e007f now",  # tags
        "b\x00uy\x08 n\x7fow",  # control characters
        "b\x00u\x80y now",
        "buy ⚠️ now 🔥",
        "bu'y n’ow",
        "b\ufff0uy now",  # not assigned, default-ignorable
    ],
)
def test_two_plain_words(text):
    """No variant that reads the same is another text."""
    assert normalized_words(text) == BUY_NOW


@pytest.mark.parametrize(
    "text, words",
    [
        ("", ()),
        (" \n", ()),
        ("...", ()),
        ("\u200b\ufe0f", ()),
        ("🔥👩‍👩‍👧🇨🇭", ()),
        ("1️⃣ cat", ("1\u20e3", "cat")),
        ("ﬁsh", ("fish",)),
        ("ŉ", ("n",)),
        ("don't DON’T don´t donʼt don`t", ("dont",) * 5),
        ("dogs' 'quoted'", ("dogs", "quoted")),
        ("Straße STRASSE", ("strasse", "strasse")),
        ("ΟΔΟΣ οδος", ("οδοσ", "οδοσ")),
        ("İ", ("i\u0307",)),
        ("½ 1/2", ("1", "2", "1", "2")),
        ("x² ㎏ №5", ("x2", "kg", "no5")),
        ("well-known", ("well", "known")),
        ("café cafe\u0301 cafe\u034f\u0301", ("café",) * 3),
        ("cafe", ("cafe",)),
        ("Ệ E\u0323\u0302 E\u0302\u0323", ("ệ",) * 3),
        ("\u0308 ¨ a", ("a",)),  # marks on nothing
        ("한국 \u1112\u1161\u11ab국", ("한국", "한국")),
        ("हिन्दी", ("हिन्दी",)),
        ("می\u200cخواهم", ("میخواهم",)),
        ("赤い犬。", ("赤", "い", "犬")),
        ("がぎ か\u3099き\u3099 ｶﾞｷﾞ", ("が", "ぎ", "が", "ぎ", "ガ", "ギ")),
        ("コーヒー・茶", ("コ", "ー", "ヒ", "ー", "茶")),
        ("犬dog猫", ("犬", "dog", "猫")),
        ("葛\U000e0100城", ("葛", "城")),
        ("𠮷野", ("𠮷", "野")),
        ("ที่นี่", ("ที่", "นี่")),
        ("a\ud800b \udfff", ("a", "b")),
    ],
)
def test_words(text, words):
    """Plain right values, script by script."""
    assert normalized_words(text) == words


def test_ascii_is_only_a_faster_way():
    """One character of another script changes no word of the others."""
    text = "".join(map(chr, range(128))) + " Don't a_b x\x1fy 0-9"
    assert normalized_words(text) == normalized_words(text + " é")[:-1]


def test_no_format_character_counts():
    """Every character of category Cf may stand in a word unseen."""
    for code in range(sys.maxunicode + 1):
        if unicodedata.category(chr(code)) == "Cf":
            assert normalized_words(f"a{chr(code)}b") == ("ab",), hex(code)


def test_normal_forms_are_the_same_words():
    """All four Unicode forms of a letter, digit or mark are equal words."""
    for code in range(0x30000):
        character = chr(code)
        if not (character.isalnum() or unicodedata.combining(character)):
            continue
        forms = {
            unicodedata.normalize(form, f"a{character}b")
            for form in ("NFC", "NFD", "NFKC", "NFKD")
        }
        if len(forms) > 1:
            words = normalized_words(f"a{character}b")
            assert {normalized_words(form) for form in forms} == {words}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "A dog. Buy now!",
        "\u200bDon’t ＢＵＹ\ufe0f, it\u200bs ½ ﬁsh",
        "赤い犬 cafe\u0301s ｶﾞ",
        "a\ud800b",
    ],
)
def test_spans_are_of_the_words(text):
    """There is a place for each word, in order."""
    spans = word_spans(text)
    assert spans == sorted(spans)
    words = normalized_words(text)
    assert len(spans) == len(words)
    for word, (start, stop) in zip(words, spans):
        assert word in normalized_words(text[start:stop])


def test_spans_are_places_in_the_text_as_it_stands():
    """Characters that were dropped or became several are counted."""
    text = "\u200bDon’t, ﬁsh ½"
    assert [text[i:j] for i, j in word_spans(text)] == [
        "Don’t",
        "ﬁsh",
        "½",
        "½",
    ]


def test_ngrams():
    """All runs up to the longest, and no more."""
    assert ngrams(("a", "b", "a", "b"), 2) == {
        ("a",),
        ("b",),
        ("a", "b"),
        ("b", "a"),
    }
    assert ngrams(("a",), 3) == {("a",)}
    assert ngrams((), 3) == set()


@pytest.mark.parametrize(
    "text, blank",
    [
        ("", True),
        (" \n\t", True),
        ("\u200b\ufeff\u2060\x00", True),
        ("\u2800\u3164", True),
        ("\U000e0041", True),  # a tag
        ("'", False),
        ("\u0301", False),
        ("👍", False),
        ("\u200ba", False),
    ],
)
def test_blank_texts_have_no_ink(text, blank):
    """An apostrophe has, though no word is made of it."""
    assert is_blank(text) is blank
