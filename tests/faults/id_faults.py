"""Ids that cannot be written, or that tell no example from another."""

import os

import keras_byorn
from faults.case import changed, kept, prepare, raises, rows, table, tiny

SECTION = "Ids, and sources of examples"
IDS = "Examples"
RULE = "`example_ids` must be strings or numbers that can be written as UTF-8"
for wrong, value in {
    "half a character, as the name of a file leaves one": "caf\udce9",
    "bytes that are no UTF-8": b"caf\xe9",
    "an empty id": "",
    "spaces and characters without width": " \u200b",
    "`None`": None,
    "NaN": float("nan"),
    "a list": ["a"],
}.items():
    raises(SECTION, wrong, f"`example_id`, {IDS}", ValueError, RULE)(
        changed(example_id=value)
    )


@raises(
    SECTION, "a file whose name is no UTF-8", "`from_jsonl`", ValueError, RULE
)
def file_name(folder):
    table(folder, None, name=os.fsdecode(b"caf\xe9.jsonl"))


@raises(
    SECTION,
    "two equal ids of a megabyte",
    f"`example_id`, {IDS}",
    ValueError,
    "`example_ids` must be unique",
)
def twice(folder):
    keras_byorn.Examples([dict(row, example_id="x" * 10**6) for row in rows()])


@raises(
    SECTION,
    "fewer ids than examples",
    "`example_ids`",
    ValueError,
    "2 ids for 3 examples",
)
def too_few(folder):
    prepare(example_ids=["a", "b"])


@kept(SECTION, "NUL, ANSI and new lines in an id", MODEL := IDS, "taken as is")
def odd(folder):
    examples = keras_byorn.Examples(rows(example_id="a\x00\x1b[31m\n"))
    assert examples.example_ids[1] == "a\x00\x1b[31m\n"


@kept(SECTION, "an id of a megabyte", IDS, "taken as is; messages cut it")
def long(folder):
    assert len(prepare(example_id="x" * 10**6).example_ids[1]) == 10**6


@raises(SECTION, "an unknown id of a megabyte", "`by_id`", KeyError, "'xxx")
def unknown(folder):
    keras_byorn.Examples(rows()).by_id("x" * 10**6)


@raises(
    SECTION,
    "no examples",
    IDS,
    ValueError,
    "`source` must hold at least one example",
)
def none(folder):
    keras_byorn.Examples([])


for wrong, source in {
    "`None` for a row": [None],
    "numbers for rows": [1, 2],
    "texts for rows": ["red", "blue"],
}.items():
    raises(
        SECTION, wrong, IDS, ValueError, "`source` must hold a dict for each"
    )(lambda folder, source=source: keras_byorn.Examples(source))


@raises(
    SECTION,
    "a missing field, and another of a megabyte",
    IDS,
    ValueError,
    "Missing: ['responses']",
)
def missing(folder):
    row = {"example_id": "a", "prompts": "what", "x" * 10**6: 1}
    keras_byorn.Examples([row])[0]


@raises(
    SECTION,
    "a source that raises for a row",
    IDS,
    "RowError",
    "OSError: the disk is gone",
)
def raising(folder):
    class Source(list):
        def __getitem__(self, index):
            raise OSError("the disk is gone \x1b[31m")

    keras_byorn.Examples(Source([1]), example_ids=["a"])[0]


@kept(SECTION, "one example alone", "`detect`", "judged, with a warning")
def alone(folder):
    import pytest

    with pytest.warns(UserWarning, match="1 examples tell little"):
        detection = keras_byorn.detect(rows(1), tiny(), quiet())
    assert len(detection.verdicts) == 1


@kept(SECTION, "examples that are all equal", "`detect`", "none is suspect")
def equal(folder):
    import pytest

    with pytest.warns(UserWarning, match="3 examples tell little"):
        detection = keras_byorn.detect(rows(3), tiny(), quiet())
    assert (detection.verdicts != "suspect").all()


def quiet():
    return keras_byorn.Detector(verbose=0)
