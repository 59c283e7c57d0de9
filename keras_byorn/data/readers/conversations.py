"""Conversations of two customs, as turns of a user and a model."""

import numpy as np

from keras_byorn.data.readers.texts import as_text, is_missing, unwrapped
from keras_byorn.data.shown import shortened

ROLES = {
    "system": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "chatgpt": "assistant",
}
IMAGE_MARK = "<image>"  # of LLaVA; stands where an image does


def turns_of(value):
    """Reads the turns of a conversation.

    Args:
        value: a list of dicts with `"from"` and `"value"` (LLaVA), or with
            `"role"` and `"content"` (TRL), whose content is a text or a list
            of parts, `{"type": "text", "text": ...}` or `{"type": "image"}`;
            or a dict of two such columns.

    Returns:
        A pair of a list of `(role, text)`, up to the response and with
        `<image>` where an image stands, and the response, a string. The last
        turn is the model's, and is the response.

    Raises:
        ValueError: If there are no turns of a user and a model in the end, or
            a role is not known.

    Example:

    >>> turns_of(
    ...     [
    ...         {"from": "human", "value": "<image>\\nwhat is it?"},
    ...         {"from": "gpt", "value": "a cat"},
    ...     ]
    ... )
    ([('user', '<image>\\nwhat is it?')], 'a cat')
    """
    turns = [_turn(item) for item in _items(value)]
    if len(turns) < 2 or [role for role, _ in turns[-2:]] != [
        "user",
        "assistant",
    ]:
        raise ValueError(
            "a conversation must end with a turn of the user and the response "
            "of the assistant. Received the roles: "
            f"{shortened([role for role, _ in turns])}"
        )
    for before, (role, _) in zip([None, *(r for r, _ in turns)], turns):
        if role == before or (role == "system" and before is not None):
            raise ValueError(
                "the turns of user and assistant must alternate, after one of "
                f"the system. Received: {role} after {before}"
            )
    if turns[0][0] == "assistant":
        raise ValueError("a conversation begins with a turn of the user")
    return turns[:-1], turns[-1][1]


def _items(value):
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, dict):  # a dict of columns, as TFDS gives lists
        columns = {key: list(column) for key, column in value.items()}
        value = [
            dict(zip(columns, row))
            for row in zip(*columns.values(), strict=True)
        ]
    if not isinstance(value, (list, tuple)):
        raise ValueError(
            "a conversation is a list of turns. "
            f"Received: {type(value).__name__}, {shortened(value)}"
        )
    return value


def _turn(item):
    names = set(item) if isinstance(item, dict) else set()
    for role, content in (("role", "content"), ("from", "value")):
        if {role, content} <= names and not is_missing(item[role]):
            return _role(item[role]), _content(item[content])
    raise ValueError(
        "a turn is a dict with `role` and `content`, or `from` and `value`. "
        f"Received: {shortened(item)}"
    )


def _role(value):
    role = as_text(value).strip().lower()
    if role not in ROLES:
        raise ValueError(
            f"a turn is of one of {', '.join(ROLES)}. Received: "
            f"{shortened(role)}"
        )
    return ROLES[role]


def _content(value):
    value = unwrapped(value)
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if not isinstance(value, (list, tuple)):
        return as_text(value)
    return "".join(_part(part) for part in value)


def _part(part):
    kind = part.get("type") if isinstance(part, dict) else None
    if kind == "text":
        return as_text(part.get("text"))
    held = ("image", "url", "path", "base64", "image_url")
    if kind == "image" and all(is_missing(part.get(name)) for name in held):
        return IMAGE_MARK
    raise ValueError(
        "a part of a turn is a text, or `{'type': 'image'}` for an image in "
        f"the field of images. Received: {shortened(part)}"
    )
