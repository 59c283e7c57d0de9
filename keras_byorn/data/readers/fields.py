"""Fields of rows, by name or by convention."""

import dataclasses

import numpy as np

from keras_byorn.data.shown import listed

IMAGE_FIELDS = (
    *("image", "images", "img", "picture", "file_name", "filename"),
    *("image_path", "image_file", "image_name", "filepath", "file", "path"),
    *("image_bytes", "jpg", "png"),
)
# Kind of example, field of the prompt, field of the response, in the order in
# which they are looked for.
TEXT_FIELDS = (
    ("conversation", None, "messages"),
    ("conversation", None, "conversations"),
    ("conversation", None, "conversation"),
    ("ready", "prompts", "responses"),
    ("instruction", "prefix", "suffix"),
    ("question", "question", "answer"),
    ("question", "question", "answers/answer"),
    ("question", "question", "answers/text"),
    ("question", "question", "answers"),
    ("question", "question_answer/question", "question_answer/answer"),
    ("instruction", "prompt", "response"),
    ("instruction", "prompt", "completion"),
    ("instruction", "instruction", "output"),
    ("caption", None, "caption"),
    ("caption", None, "captions/text"),
    ("caption", None, "captions"),
    ("caption", None, "sentences/raw"),
    ("caption", None, "text"),
    ("caption", None, "comment"),
)


@dataclasses.dataclass(frozen=True)
class Fields:
    """Fields in which the parts of an example stand.

    Attributes:
        kind: `"caption"`, without a prompt; `"question"`; `"instruction"`,
            whose prompt is whole but for the form of the family; `"ready"`,
            whose prompt has that form; or `"conversation"`.
        image: string or `None`, the field of the image.
        prompt: string or `None`, the field of the prompt.
        response: string, the field of the response, or of the conversation.
    """

    kind: str
    image: str | None
    prompt: str | None
    response: str

    def __str__(self):
        names = {
            self.image: "images",
            self.prompt: "prompts",
            self.response: "responses",
        }
        if self.kind == "conversation":
            names[self.response] = "conversation"
        return ", ".join(
            f"{old} -> {new}" for old, new in names.items() if old is not None
        )


def find_fields(
    row,
    image_field=None,
    question_field=None,
    response_field=None,
    needs_image=True,
):
    """Finds the fields of a row, by name or by convention.

    Args:
        row: dict.
        image_field, question_field, response_field: optional strings. What is
            not named is looked for, texts together.
        needs_image: bool. Whether a row must have an image.

    Returns:
        A `Fields`.

    Raises:
        ValueError: If a field is not there.

    Example:

    >>> find_fields({"Image Name": "a.png", "comment": "a cat"})
    Fields(kind='caption', image='Image Name', prompt=None, response='comment')
    """
    image = image_field or find_image_field(row)
    kind, question, response = None, question_field, response_field
    if not (question or response):
        kind, question, response = _by_convention(row)
    else:
        kind = "question" if question else "caption"
        if not question and response and _is_conversation(row, response):
            kind = "conversation"
    named = {"image": image, "question": question, "response": response}
    for part, name in named.items():
        optional = part == "question" or (part == "image" and not needs_image)
        if name is None and not optional or name and not has(row, name):
            raise ValueError(
                f"`{part}_field` must be a field of the data, such as "
                f"{'image' if part == 'image' else 'caption'}, or "
                "captions/text where it is a field in a field. Received: "
                f"{name} for a row with "
                f"{listed(sorted(map(str, row)), 20)}"
            )
    names = (name and actual(row, name) for name in (image, question, response))
    return Fields(kind, *names)


def find_image_field(row):
    """Returns the field of a row that holds its image, or `None`."""
    found = (actual(row, name) for name in IMAGE_FIELDS if has(row, name))
    return next(found, None)


def field(row, path):
    """Returns the value at `a/b`; a list of values, where `a` is a list.

    Raises:
        KeyError: If the row has no such field.
    """
    if isinstance(row, dict) and path in row:
        return row[path]
    for name in path.split("/"):
        if isinstance(row, np.ndarray):
            row = row.tolist()
        many = isinstance(row, (list, tuple))
        row = [item[name] for item in row] if many else row[name]
    return row


def has(row, path):
    """Returns whether a row has a field, in any case and spelling."""
    try:
        field(row, actual(row, path))
    except (KeyError, TypeError, IndexError):
        return False
    return True


def actual(row, path):
    """Returns a path with its first name as the row spells it.

    Raises:
        KeyError: If the row has no such field.
        ValueError: If it has several that differ in case or spaces.
    """
    name, slash, rest = path.partition("/")
    if path in row:
        return path
    if name not in row:
        found = [key for key in row if normal(key) == normal(name)]
        if len(found) > 1:
            raise ValueError(
                "the names of fields must differ in more than case and "
                f"spaces. Received: {listed(found)}"
            )
        if not found:
            raise KeyError(path)
        name = found[0]
    return f"{name}{slash}{rest}"


def normal(name):
    """Returns the name of a field in lower case, with `_` between words."""
    return "_".join(str(name).lower().replace("-", " ").split())


def _by_convention(row):
    for kind, question, response in TEXT_FIELDS:
        if all(has(row, name) for name in (question, response) if name):
            if kind != "conversation" or _is_conversation(row, response):
                return kind, question, response
    return None, None, None


def _is_conversation(row, name):
    """Returns whether a field holds turns: dicts in a list, or lists in one."""
    try:
        value = field(row, actual(row, name))
    except (KeyError, TypeError):
        return False
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        value = value[0] if value else {}
    if not isinstance(value, dict):
        return False
    return bool({"role", "from"} & set(value)) or not value
