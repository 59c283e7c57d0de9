"""Values of untrusted data, cut to what a line of a message holds."""

import itertools

MAX_SHOWN = 80  # characters of a text that an error shows
MAX_LISTED = 5  # values that an error lists


def shortened(value, most=MAX_SHOWN):
    """Returns the representation of a value, cut to what a line holds.

    Args:
        value: anything.
        most: int. The most characters to show.

    Returns:
        A string of at most `most` characters and three points.

    Example:

    >>> shortened("a cat")
    "'a cat'"
    """
    text = repr(value[: most + 1] if isinstance(value, str) else value)
    return text if len(text) <= most else f"{text[:most]}..."


def encodable(text):
    """Escapes lone surrogates, which no UTF-8 file can hold.

    Args:
        text: string, or `None`.

    Returns:
        A string, or `None`.
    """
    if text is None:
        return None
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def listed(values, most=MAX_LISTED):
    """Lists the first of several values, each of them cut.

    Args:
        values: iterable of anything.
        most: int. The most values to list.

    Returns:
        A string.

    Example:

    >>> listed(["a", "b", "c"], most=2)
    "['a', 'b', ...]"
    """
    first = list(itertools.islice(values, most + 1))
    shown = [shortened(value) for value in first[:most]]
    return f"[{', '.join([*shown, *['...'] * (len(first) > most)])}]"


def legible(text):
    """Escapes all characters but new lines that a terminal would not print.

    Args:
        text: string or path, which may hold control sequences, characters
            that turn the direction of others, or lone surrogates, as the name
            of a file that is no UTF-8 has.

    Returns:
        A string that is encodable as UTF-8.

    Example:

    >>> legible("\\x1b[31mred")
    '\\\\x1b[31mred'
    """
    text = str(text)
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() or c == "\n" else repr(c)[1:-1] for c in text
    )
