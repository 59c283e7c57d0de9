"""Checks of the arguments of attacks."""


def check_phrase(name, phrase, example):
    """Raises a `ValueError` if a phrase has no word in it."""
    if not isinstance(phrase, str) or not phrase.strip():
        raise ValueError(
            f"`{name}` must be a string with a word at least. Take, say, "
            f"{example!r}. Received: {name}={phrase!r}"
        )


def check_share(name, value):
    """Raises a `ValueError` if a value is not in `(0, 1]`."""
    if not 0 < value <= 1:
        raise ValueError(
            f"`{name}` is a share and must be in (0, 1]. Take, say, 0.1. "
            f"Received: {name}={value}"
        )


def check_choice(name, value, choices):
    """Raises a `ValueError` if a value is none of the choices."""
    if value not in choices:
        raise ValueError(
            f"`{name}` must be one of {choices}. Received: {name}={value!r}"
        )
