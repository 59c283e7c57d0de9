"""Files of trusted examples, and decisions of a reviewer."""

import functools
import os

from faults.case import kept, raises
from keras_byorn.detection.choices import choices_of

SECTION = "Files of trusted examples"
WHERE = "`trusted=`, a file"
EXAMPLES = [("a", "what", "red"), ("b", "what", "blue")]


def read(folder, data, name="decisions.json"):
    path = folder / name
    path.write_bytes(data)
    return choices_of(path, EXAMPLES).trusted


JSON = "that is named .json must be whole JSON"
LIST = "must have a JSON list of ids"
OBJECT = "Decisions must be a JSON object such as"
for wrong, data, part in (
    ("100,000 brackets", b"[" * 100_000, JSON),
    ("a number of 5,000 digits", b'{"a":' + b"9" * 5000 + b"}", JSON),
    ("a file that is cut off", b'{"trust": ["a"', JSON),
    ("a list of numbers", b"[1]", LIST),
    ("an object with another name", b'{"trsut": ["a"]}', OBJECT),
    ("`trust` of numbers", b'{"trust": [1]}', OBJECT),
    ("bytes that are no UTF-8", b"\xff\xfea", "must be text in UTF-8"),
    ("an id that no example has", b'["z"]', "1 unknown ids, such as"),
    ("an unknown id of a megabyte", b"x" * 10**6, "1 unknown ids, such as"),
):
    raises(SECTION, wrong, WHERE, ValueError, part)(
        functools.partial(read, data=data)
    )


@raises(SECTION, "a pipe", WHERE, ValueError, "must name a regular file")
def pipe(folder):
    os.mkfifo(folder / "ids.txt")
    choices_of(folder / "ids.txt", EXAMPLES)


@raises(SECTION, "no such file", WHERE, FileNotFoundError, "No such file")
def missing(folder):
    choices_of(folder / "ids.txt", EXAMPLES)


@kept(SECTION, "an empty file", WHERE, "nobody is trusted")
def empty(folder):
    assert read(folder, b"") == []


@kept(SECTION, "an id with a line separator (U+2028)", WHERE, "one id")
def separator(folder):
    path = folder / "ids.txt"
    path.write_text("a\u2028b\n", "utf-8")
    chosen = choices_of(path, [("a\u2028b", "p", "r")])
    assert chosen.trusted == ["a\u2028b"]
