"""Values of untrusted data, cut to what a line of a message holds."""

MAX_SHOWN = 80  # characters of a text that an error shows


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
