"""One kind of data and its outcome, which the test asserts."""

import dataclasses
import functools
import json
import typing

import keras_hub
import numpy as np
import PIL.Image

import keras_byorn
from keras_byorn.vlm.tiny_models import TINY
from keras_byorn.vlm.tiny_models.presets import save_tiny_preset

CASES = []
PROMPT = "describe\n"
RED, GREEN, BLUE = (250, 10, 20), (10, 240, 30), (20, 30, 230)


@dataclasses.dataclass(frozen=True)
class Case:
    """A kind of data.

    Attributes:
        section, kind: strings, for the table of the docs.
        outcome: string. If refused, a part of the message.
        refused: bool.
        run: function of a folder that makes the data, reads them and asserts
            what was read.
    """

    section: str
    kind: str
    outcome: str
    refused: bool
    run: typing.Callable


def read(section, kind, outcome):
    """Adds a case that is read rightly, as the function asserts."""
    return functools.partial(_add, section, kind, outcome, False)


def refused(section, kind, outcome):
    """Adds a case that is refused, with a part of the message."""
    return functools.partial(_add, section, kind, outcome, True)


def _add(section, kind, outcome, is_refused, function):
    CASES.append(Case(section, kind, outcome, is_refused, function))
    return function


def picture(color=RED, size=(3, 2)):
    """A Pillow image of one colour, wider than high."""
    return PIL.Image.new("RGB", size, color)


def write_jsonl(folder, rows, name="captions.jsonl", encoding="utf-8"):
    path = folder / name
    text = "".join(f"{json.dumps(row)}\n" for row in rows)
    path.write_text(text, encoding)
    return path


def one_image(folder, name, data=None, **options):
    """Reads a file between two good ones; checks these; returns its pixels.

    A file that is refused must be refused alone: `on_bad="drop"` leaves the
    good ones, with their own captions.
    """
    if data is not None:
        (folder / name).write_bytes(data)
    picture(GREEN).save(folder / "first.png")
    picture(BLUE).save(folder / "last.png")
    names = {"first.png": "a green one", name: "it", "last.png": "a blue one"}
    rows = [{"image": n, "caption": c} for n, c in names.items()]
    path = write_jsonl(folder, rows)
    try:
        examples = load(path, **options)
    except ValueError as error:
        assert "line 2 of" in str(error) and "captions/1" in str(error)
        examples = load(path, on_bad="drop", **options)
        assert [row.place for row in examples.dropped] == [f"line 2 of {path}"]
        assert_pairs(examples, [(GREEN, "a green one"), (BLUE, "a blue one")])
        raise
    assert_pairs(examples, [(GREEN, "a green one"), (None, "it"), (BLUE, None)])
    return examples[1]["images"]


def load(path, vlm=None, **options):
    """Reads a table, with a prompt where no model gives one."""
    if vlm is None:
        options.setdefault("prompt", PROMPT)
    read = keras_byorn.Examples.from_csv
    if path.suffix in (".jsonl", ".json"):
        read = keras_byorn.Examples.from_jsonl
    return read(path, vlm, **options)


def of_frame(columns, **options):
    """Reads a dict of columns, with a prompt."""
    options.setdefault("prompt", PROMPT)
    return keras_byorn.Examples.from_dataframe(columns, **options)


def one_value(value, **options):
    """Reads one image in some form; returns its pixels."""
    examples = of_frame({"image": [value], "caption": ["it"]}, **options)
    (example,) = examples
    assert (example["prompts"], example["responses"]) == (PROMPT, "it")
    return example["images"]


def assert_pairs(examples, pairs):
    """Asserts colours and responses, `None` for any, in order."""
    assert len(examples) == len(pairs)
    for example, (color, text) in zip(examples, pairs, strict=True):
        if color is not None:
            assert_color(example["images"], color)
        if text is not None:
            assert example["responses"] == text
        assert type(example["responses"]) is str
        assert type(example["prompts"]) is str


def assert_color(image, color, atol=0):
    """Asserts that an image is uint8 RGB of one colour."""
    assert image.dtype == "uint8" and image.ndim == 3
    expected = np.broadcast_to(np.array(color), image.shape)
    np.testing.assert_allclose(image.astype(int), expected, atol=atol)


@functools.cache
def tiny(name="PaliGemma bundled"):
    """A tiny task: the bundled preset, or one of random weights."""
    import tempfile

    if name == "PaliGemma bundled":
        return keras_hub.models.CausalLM.from_preset(keras_byorn.tiny_preset())
    with tempfile.TemporaryDirectory() as folder:
        task_class, preset = save_tiny_preset(TINY[name], folder)
        return task_class.from_preset(preset)
