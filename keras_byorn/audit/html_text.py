"""Untrusted text of the audit's page: cut, escaped and fully visible."""

import itertools

from markupsafe import Markup

from keras_byorn.audit.html_numbers import count

MAX_CHARACTERS = 1000
MAX_ID = 80

# Characters that Python calls printable but that leave no ink.
BLANK_CHARACTERS = frozenset(
    "\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0"
    + "".join(map(chr, range(0x180B, 0x1810)))
    + "".join(map(chr, range(0xFE00, 0xFE10)))
    + "".join(map(chr, range(0xE0100, 0xE01F0)))
)


def pieces(text, shared=None, most=MAX_CHARACTERS):
    """Splits a text into pieces to show as they are, and marked ones.

    Cuts the text, and replaces characters that leave no ink, or that change
    the direction of their neighbours, by their code points: they can hide a
    trigger. Escapes nothing: each piece must be shown as text.

    Args:
        text: string, or anything that `str()` takes.
        shared: string. A part of the text to mark. Defaults to `None`.
        most: integer. Characters to show. Defaults to `1000`.

    Returns:
        List of strings, and of pairs of a kind, `"mark"` or `"shared"`, and a
        string. Without such pairs, a string.

    Example:

    >>> pieces("buy now\\u202e", shared="now")
    ['buy ', ('shared', 'now'), ('mark', 'U+202E')]
    """
    text = str(text)
    num_cut = len(text) - most
    before, found, after = text[:most], "", ""
    if shared:
        before, found, after = before.partition(shared[:most])
    shown = [*_split(before), *_split(found, "shared"), *_split(after)]
    if num_cut > 0:
        shown += [" ", ("mark", f"and {count(num_cut)} more characters")]
    if all(isinstance(part, str) for part in shown):
        return "".join(shown)
    return shown


def _split(text, kind=None):
    """Yields runs of characters with ink, and each one without, marked."""
    if text.isascii() and text.isprintable():
        # A hundred times as fast, for nearly all texts.
        yield from [(kind, text) if kind else text] if text else []
        return
    for is_seen, run in itertools.groupby(text, _has_ink):
        if is_seen:
            run = "".join(run)
            yield (kind, run) if kind else run
        else:
            for character in run:
                yield "mark", f"U+{ord(character):04X}"


def ink(shown):
    """Escapes pieces of text for the document.

    Args:
        shown: string or list, from `pieces()`.

    Returns:
        `markupsafe.Markup`.
    """
    span = Markup('<span class="{}">{}</span>')
    parts = [shown] if isinstance(shown, str) else shown
    return Markup().join(
        part if isinstance(part, str) else span.format(*part) for part in parts
    )


def plain(shown):
    """Joins pieces of text, for an attribute.

    Args:
        shown: string or list, from `pieces()`.

    Returns:
        string, not escaped.
    """
    if isinstance(shown, str):
        return shown
    return "".join(p if isinstance(p, str) else p[1] for p in shown)


def untrusted(text):
    """Makes text safe to show: cuts it, escapes it, makes all of it visible.

    Args:
        text: string, or anything that `str()` takes.

    Returns:
        `markupsafe.Markup`.

    Example:

    >>> untrusted("<b>\\u202e")
    Markup('&lt;b&gt;<span class="mark">U+202E</span>')
    """
    return ink(pieces(text))


def _has_ink(character):
    """Returns whether a character can be seen; a line break can."""
    is_seen = character.isprintable() and character not in BLANK_CHARACTERS
    return is_seen or character == "\n"
