"""Files that lie, hang, lead out of their folder or are endlessly deep."""

import functools
import os

import keras_byorn
from faults.case import kept, of_row, raises, table, tiny
from faults.image_faults import png

SECTION = "Files"
JSONL = "`from_jsonl`"
BROKEN = "the line is no JSON"
TABLE = "A table in JSON must be a list of objects"


def line(image="a.png", caption="red"):
    return f'{{"image": "{image}", "caption": "{caption}"}}\n'.encode()


for wrong, row, part in (
    ("100,000 brackets in a line", b"[" * 100_000 + b"\n", BROKEN),
    ("100,000 objects in each other", b'{"a":' * 100_000 + b"\n", BROKEN),
    ("a number of 5,000 digits", b'{"caption":' + b"9" * 5000 + b"}\n", BROKEN),
    ("1e999 for a caption", b'{"image":"a.png","caption":1e999}\n', "finite"),
    ("NaN for a caption", b'{"image":"a.png","caption":NaN}\n', "no text"),
    ("half a character", line(caption="\\ud800"), "half a character"),
    ("characters without width alone", line(caption="\\u200b"), "is empty"),
    ("a name of 200,000 names, one twice", None, "the name 'k7' twice"),
    ("a name of a picture that is no UTF-8", line("a\\udce9"), "there is no"),
    ("a name of a megabyte", line("x" * 10**6), "there is no file 'xxx"),
    ("a name with NUL", line("a\\u0000.png"), "a name has no NUL"),
    ("a name out of the folder", line("../../etc/passwd"), "there is no file"),
    ("an address", line("https://example.com/a.png"), "are not downloaded"),
):
    if row is None:
        names = ",".join(f'"k{n}":1' for n in range(200_000))
        row = f'{{{names},"k7":1}}\n'.encode()
    raises(SECTION, wrong, JSONL, "BadRowsError", part)(of_row(row))


def whole(folder, data):
    table(folder, None)
    path = folder / "whole.json"
    path.write_bytes(data)
    keras_byorn.Examples.from_jsonl(path, tiny(), verbose=0)


for wrong, data, error, part in (
    ("a list of 100,000 lists", b"[" * 100_000, ValueError, TABLE),
    (
        "an object of objects, a line each",
        b'{"a":\n' * 50_000,
        ValueError,
        TABLE,
    ),
    ("a list of numbers", b"[1, 2]", ValueError, "a row must be an object"),
    ("a NUL", b'[{"a": "\x00"}]', ValueError, "has a NUL in line 1"),
    ("the bytes FF FE", b"\xff\xfe[", ValueError, "begins as one in utf-16"),
):
    raises(SECTION, wrong, f"{JSONL}, a file as a whole", error, part)(
        functools.partial(whole, data=data)
    )


def cells(folder, data):
    table(folder, None)
    path = folder / "captions.csv"
    path.write_bytes(data)
    return keras_byorn.Examples.from_csv(path, tiny(), verbose=0)


for wrong, data, error, part in (
    (
        "a header of a megabyte",
        b"image," + b"x" * 10**6 + b"\na.png,red\n",
        ValueError,
        "must have a column for the image",
    ),
    (
        "half a million columns of one name",
        b"a," * 500_000 + b"\n",
        ValueError,
        "must have names of their own",
    ),
    (
        "a cell of a megabyte",
        b"image,caption\na.png,red\na.png," + b"x" * 10**6,
        "BadRowsError",
        "a cell is too long",
    ),
):
    raises(SECTION, wrong, "`from_csv`", error, part)(
        functools.partial(cells, data=data)
    )


@raises(SECTION, "a pipe for a table", JSONL, ValueError, "a regular file")
def pipe(folder):
    os.mkfifo(folder / "captions.jsonl")
    keras_byorn.Examples.from_jsonl(folder / "captions.jsonl", tiny())


@raises(SECTION, "`/dev/zero` for a table", JSONL, ValueError, "regular file")
def device(folder):
    keras_byorn.Examples.from_jsonl("/dev/zero", tiny())


@raises(SECTION, "a table that is missing", JSONL, FileNotFoundError, "No such")
def no_table(folder):
    keras_byorn.Examples.from_jsonl(folder / "captions.jsonl", tiny())


def picture(folder, data=None, link=None, fifo=False):
    if data is not None:
        (folder / "it.png").write_bytes(data)
    elif fifo:
        os.mkfifo(folder / "it.png")
    else:
        (folder / "data").mkdir()
        os.symlink(link or folder / "secret.png", folder / "data/it.png")
        (folder / "secret.png").write_bytes(png())
        folder = folder / "data"
    table(folder, line("it.png"))


for wrong, options, part in (
    ("a pipe for a picture", {"fifo": True}, "only regular files are read"),
    ("a link out of the folder", {}, "files must be inside of the folder"),
    ("a link to itself", {"link": "it.png"}, "it.png"),
    ("a link to a device", {"link": "/dev/zero"}, "inside of the folder"),
    ("an empty picture", {"data": b""}, "the file of the image is empty"),
    ("a picture that is cut off", {"data": png()[:44]}, "cannot be decoded"),
    ("a program of PostScript (EPS)", {"data": b"%!PS-Adobe EPSF"}, "no image"),
    ("a page called .png", {"data": b"<html>"}, "no image in one of"),
    (
        "a decompression bomb, of 30,000 × 30,000 pixels",
        {"data": png((30_000, 30_000))},
        "the image cannot be decoded: DecompressionBombError",
    ),
):
    raises(SECTION, wrong, f"{JSONL}, a picture", "BadRowsError", part)(
        functools.partial(picture, **options)
    )


@kept(
    SECTION,
    "bad rows, with `on_bad='drop'`",
    JSONL,
    "left out, in `examples.dropped`",
)
def dropped(folder):
    import pytest

    with pytest.warns(UserWarning, match="Dropped 1 of 2 rows"):
        examples = table(folder, b"\x1b[31m\n", on_bad="drop")
    assert len(examples) == 1 and len(examples.dropped) == 1


@kept(SECTION, "a file whose name has ANSI in it", JSONL, "read; shown escaped")
def ansi(folder):
    examples = table(folder, None, name="\x1b[31m.jsonl")
    assert "\\x1b[31m.jsonl" in repr(examples) and "\x1b" not in repr(examples)
