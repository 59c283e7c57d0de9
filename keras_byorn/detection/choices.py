"""Choices of a person: whom to trust, and what to drop."""

import json
import pathlib
from typing import NamedTuple

from keras_byorn.data.shown import legible, shortened

TRUST, DROP = "trust", "drop"
# Of the page, for a reader: the choices by cluster, as numbers.
BESIDE = ("clusters",)


class Choices(NamedTuple):
    """Ids of examples that a person has decided on.

    Attributes:
        trusted: list of strings.
        dropped: list of strings.
        are_decisions: bool. Whether they came as lists with these names, and
            not as ids alone.
    """

    trusted: list
    dropped: list
    are_decisions: bool = False


def choices_of(chosen, examples):
    """Finds the examples that a person has decided on.

    Args:
        chosen: `None`; a sequence of ids to trust; a callable from a dict with
            `"example_id"`, `"prompts"` and `"responses"` to a bool, whom to
            trust; a dict with lists of ids, `"trust"` and `"drop"`; or the
            path of a file with one id a line, with a JSON list of ids, or with
            such a dict as JSON, as the page of an audit exports it.
        examples: iterable of triples: id, prompt, response.

    Returns:
        `Choices`, both lists in the order of the examples.

    Raises:
        ValueError: if an id is not among the examples, or is in both lists.
        FileNotFoundError: if there is no such file.

    Example:

    >>> choices_of("decisions.json", examples).dropped
    ['captions/3']
    """
    if chosen is None:
        return Choices([], [])
    examples = list(examples)
    if callable(chosen):
        names = ("example_id", "prompts", "responses")
        found = [e[0] for e in examples if chosen(dict(zip(names, e)))]
        return Choices(found, [])
    if isinstance(chosen, (str, pathlib.Path)):
        chosen = _read(pathlib.Path(chosen))
    elif isinstance(chosen, dict):
        chosen = _checked(chosen, "`trusted`")
    else:
        chosen = Choices([str(example_id) for example_id in chosen], [])
    known = {example_id for example_id, *_ in examples}
    unknown = (set(chosen.trusted) | set(chosen.dropped)) - known
    if unknown:
        raise ValueError(
            "`trusted` must be ids of examples that are judged, a function of "
            "an example, or a file of ids: trusted examples are scored with "
            f"the others. Received: {len(unknown)} unknown ids, such as "
            f"{[shortened(i) for i in sorted(unknown)[:3]]}"
        )
    trusted, dropped = map(set, chosen[:2])
    return chosen._replace(
        trusted=[e[0] for e in examples if e[0] in trusted],
        dropped=[e[0] for e in examples if e[0] in dropped],
    )


def _read(path):
    """Reads a file: ids by lines, a list of them, or decisions."""
    text = _text(path)
    if not text.lstrip().startswith(("[", "{")):
        return _lines(text)
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        if path.suffix != ".json":
            return _lines(text)
        raise ValueError(
            "A file of trusted examples that is named .json must be whole "
            f"JSON. Received: {error} in {legible(path)}"
        ) from error
    if isinstance(found, dict):
        return _checked(found, legible(path))
    if not _are_ids(found):
        raise ValueError(
            "A file of trusted examples must have a JSON list of ids, which "
            'are strings, or a JSON object with such lists as "trust" and '
            f'"drop". Received: {shortened(found)} in {path}'
        )
    return Choices(found, [])


def _checked(found, place):
    """Returns the choices in a dict; anything beside them is an error."""
    lists = [found.get(name, []) for name in (TRUST, DROP)]
    known = {TRUST, DROP, *BESIDE}
    if not set(found) <= known or not all(map(_are_ids, lists)):
        raise ValueError(
            'Decisions must be a JSON object such as {"trust": ["a/1"], '
            '"drop": ["a/2"]}, with lists of ids, which are strings. '
            f"Received: {shortened(found)} in {place}"
        )
    both = sorted(set(lists[0]) & set(lists[1]))
    if both:
        raise ValueError(
            "An example is trusted or dropped. Received both for "
            f"{shortened(both)} in {place}"
        )
    return Choices(*map(list, lists), are_decisions=True)


def _are_ids(ids):
    is_list = isinstance(ids, (list, tuple, set))
    return is_list and all(isinstance(i, str) for i in ids)


def _text(path):
    """Reads a file of text; refuses pipes, which might never end."""
    if path.exists() and not path.is_file():
        raise ValueError(
            "`trusted` must name a regular file, no folder, device or pipe. "
            f"Received: {legible(path)}"
        )
    try:
        return path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            "A file of trusted examples must be text in UTF-8. "
            f"Received: {error} in {legible(path)}"
        ) from error


def _lines(text):
    # Not `splitlines`: an id may hold what Unicode takes for the end of one.
    ids = [line.strip() for line in text.split("\n") if line.strip()]
    return Choices(ids, [])
