"""Tests of text that an attacker may have written."""

import numpy as np
import pytest
from audit_support import Page, make_audit, suspect

from keras_byorn.audit.html_text import MAX_CHARACTERS, untrusted


@pytest.mark.parametrize(
    "hidden",
    ["\u202e", "\u200b", "\u00ad", "\ufe0f", "\U000e0041", "\u3164", "\x00"],
)
def test_invisible_characters_are_named(hidden):
    """A trigger of characters without ink is seen, not only trained on."""
    name = f"U+{ord(hidden):04X}"
    assert untrusted(f"a{hidden}b") == f'a<span class="mark">{name}</span>b'


@pytest.mark.parametrize("text", ["ünïcode\nmore", "中文", "مرحبا", "नमस्ते"])
def test_other_scripts_are_left_as_they_are(text):
    """Honest text in any language stays readable."""
    assert untrusted(text) == text


def test_long_text_is_cut_and_says_so(tmp_path):
    """A response of a megabyte does not become a page of a megabyte."""
    assert "and 5 more characters" in untrusted("x" * (MAX_CHARACTERS + 5))
    rows = [suspect("a", -5.0, original_response="x" * 1_000_000)]
    scores = {"a": (["x"] * 100_000, np.full(100_000, -1.0, "float32"))}
    audit = make_audit(rows, token_scores=scores)
    path = audit.to_html(tmp_path / "audit.html")
    assert path.stat().st_size < 100_000
    assert "and 99,800 more tokens" in Page(path).text
