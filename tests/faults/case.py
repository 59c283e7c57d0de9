"""One bad input or fault, and what it gets, which the test asserts."""

import dataclasses
import functools
import re
import typing

import numpy as np
import PIL.Image
import pytest
from reader_cases.case import tiny, write_jsonl

import keras_byorn

CASES = []
PROMPT = "describe the image\n"
MODEL = "PreparedExamples"


@dataclasses.dataclass(frozen=True)
class Fault:
    """A bad input, or a fault of the machine.

    Attributes:
        section, wrong, where: strings, for the table of the docs.
        gets: string. A part of the message; for what is kept, how it is read.
        error: type or `None`. The class of the error.
        warns: bool. Whether it gets a warning.
        slow: bool. Whether it takes more than about ten seconds.
        run: function of a folder that brings it about. What is kept it
            asserts itself.
    """

    section: str
    wrong: str
    where: str
    gets: str
    error: type | None
    warns: bool
    slow: bool
    run: typing.Callable


def raises(section, wrong, where, error, gets, slow=False):
    """Adds a case that gets an error of a class, with a part of its message."""
    return _adder(section, wrong, where, gets, error, False, slow)


def warns(section, wrong, where, gets, slow=False):
    """Adds a case that gets a warning, and goes on."""
    return _adder(section, wrong, where, gets, None, True, slow)


def kept(section, wrong, where, gets, slow=False):
    """Adds a case that is read as it is, as the function asserts."""
    return _adder(section, wrong, where, gets, None, False, slow)


def _adder(*fields):
    def add(function):
        CASES.append(Fault(*fields, function))
        return function

    return add


def rows(count=3, **changes):
    """Honest rows, the second of them changed."""
    image = np.full((32, 32, 3), 40, "uint8")
    found = [
        {
            "example_id": f"scene-{index}",
            "images": image,
            "prompts": PROMPT,
            "responses": "red three",
        }
        for index in range(count)
    ]
    found[1 % count].update(changes)
    return found


def prepare(folder=None, model="PaliGemma bundled", count=3, **changes):
    """Prepares rows of which one is changed; returns what was prepared."""
    options = {
        name: changes.pop(name)
        for name in ("control_tokens", "example_ids")
        if name in changes
    }
    source = rows(count, **changes)
    if model == "Qwen":  # reads no images
        source = [dict(row, images=None) for row in source]
    examples = keras_byorn.Examples(source, options.pop("example_ids", None))
    return keras_byorn.PreparedExamples(
        examples, tiny(model), verbose=0, **options
    )


def changed(**changes):
    """A case that prepares rows of which one is changed."""
    return functools.partial(prepare, **changes)


def either(error, part, text):
    """A case whose prompt gets an error, and whose response gets the same."""

    def run(folder):
        with pytest.raises(error, match=re.escape(part)):
            prepare(prompts=text)
        prepare(responses=text)

    return run


def same(field, text):
    """A case whose text is taken as it is."""

    def run(folder):
        assert getattr(prepare(**{field: text}), field)[1] == text

    return run


def table(folder, row, name="captions.jsonl", **options):
    """Reads a table of an honest row and another one, given as JSON."""
    PIL.Image.new("RGB", (32, 32), (9, 9, 9)).save(folder / "a.png")
    honest = {"image": "a.png", "caption": "red three"}
    path = write_jsonl(folder, [honest, honest], name)
    if row is not None:
        first = path.read_bytes().splitlines(keepends=True)[0]
        path.write_bytes(first + row)
    return keras_byorn.Examples.from_jsonl(path, tiny(), verbose=0, **options)


def of_row(row, **options):
    """A case that reads a table with a line that is given in bytes."""
    return functools.partial(_table, row=row, options=options)


def _table(folder, row, options):
    return table(folder, row, **options)
