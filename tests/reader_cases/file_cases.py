"""Names of files, some of which lead where they must not."""

import os

import keras_byorn
from reader_cases.case import (
    BLUE,
    RED,
    assert_color,
    assert_pairs,
    load,
    one_image,
    picture,
    read,
    refused,
    tiny,
    write_jsonl,
)

SECTION = "Names of files, and folders"


@read(SECTION, "a name in a folder below", "found")
def below(folder):
    (folder / "cats").mkdir()
    picture().save(folder / "cats/it.png")
    assert_color(one_image(folder, "cats/it.png"), RED)


@read(SECTION, "a name with backslashes", "found")
def backslashes(folder):
    (folder / "cats").mkdir()
    picture().save(folder / "cats/it.png")
    assert_color(one_image(folder, "cats\\it.png"), RED)


@read(SECTION, "`file://` and an absolute path, with %20", "found")
def file_scheme(folder):
    picture().save(folder / "it is.png")
    address = f"file://{folder.resolve()}/it%20is.png"
    assert_color(one_image(folder, address), RED)


@read(SECTION, "an absolute path inside of the folder", "found")
def absolute(folder):
    picture().save(folder / "it.png")
    assert_color(one_image(folder, str(folder / "it.png")), RED)


@read(SECTION, "a name with accents, spaces and a hash", "found")
def odd_name(folder):
    picture().save(folder / "it é #1.png")
    assert_color(one_image(folder, "it é #1.png"), RED)


@read(SECTION, "a bare name of a picture in `images/`", "found")
def images_folder(folder):
    (folder / "images").mkdir()
    picture().save(folder / "images/it.png")
    assert_color(one_image(folder, "it.png"), RED)


@refused(SECTION, "a name that is in the folder and in `images/`", "several")
def two_places(folder):
    (folder / "images").mkdir()
    picture().save(folder / "images/it.png")
    picture().save(folder / "it.png")
    one_image(folder, "it.png")


@read(SECTION, "a link to a file inside of the folder", "followed")
def link_inside(folder):
    picture().save(folder / "there.png")
    os.symlink(folder / "there.png", folder / "it.png")
    assert_color(one_image(folder, "it.png"), RED)


@refused(SECTION, "a link out of the folder", "inside of the folder")
def link_outside(folder):
    outside(folder)
    os.symlink(folder / "secret.png", folder / "data/it.png")
    one_image(folder / "data", "it.png")


@refused(SECTION, "`../` out of the folder", "inside of the folder")
def dots(folder):
    outside(folder)
    one_image(folder / "data", "../secret.png")


@refused(SECTION, "an absolute path outside of it", "inside of the folder")
def absolute_outside(folder):
    outside(folder)
    one_image(folder / "data", str(folder / "secret.png"))


@read(SECTION, "the same, with `allow_outside=True`", "read")
def allowed(folder):
    outside(folder)
    pixels = one_image(folder / "data", "../secret.png", allow_outside=True)
    assert_color(pixels, RED)


def outside(folder):
    (folder / "data").mkdir()
    picture().save(folder / "secret.png")


@refused(SECTION, "a pipe or a device", "only regular files are read")
def pipe(folder):
    os.mkfifo(folder / "it.png")
    one_image(folder, "it.png")


@refused(SECTION, "a folder", "only regular files are read")
def a_folder(folder):
    (folder / "it.png").mkdir()
    one_image(folder, "it.png")


@refused(SECTION, "a file that is missing", "there is no file 'it.png'")
def missing(folder):
    one_image(folder, "it.png")


@refused(SECTION, "an empty name", "must have an image")
def empty_name(folder):
    one_image(folder, " ")


@refused(SECTION, "`https://`, `s3://` and `data:`", "are not downloaded")
def address(folder):
    one_image(folder, "https://example.com/it.png")


@read(SECTION, "pictures of several sizes, with a `vlm`", "made one size")
def sizes(folder):
    picture(size=(40, 20)).save(folder / "a.png")
    picture(BLUE, (9, 64)).save(folder / "b.png")
    rows = [
        {"image": "a.png", "caption": "red"},
        {"image": "b.png", "caption": "blue"},
    ]
    examples = load(write_jsonl(folder, rows), tiny())
    assert_pairs(examples, [(RED, "red"), (BLUE, "blue")])
    assert {e["images"].shape for e in examples} == {(32, 32, 3)}


@read(SECTION, "the same, with `pad=True`", "whole, with black bars")
def padded(folder):
    picture(size=(40, 20)).save(folder / "a.png")
    path = write_jsonl(folder, [{"image": "a.png", "caption": "red"}])
    (example,) = load(path, tiny(), pad=True)
    assert example["images"].shape == (32, 32, 3)
    assert_color(example["images"][8:24], RED)
    assert_color(example["images"][:8], (0, 0, 0))
    assert_color(example["images"][24:], (0, 0, 0))


@read(SECTION, "a folder with `metadata.jsonl`", "read by `file_name`")
def metadata_jsonl(folder):
    metadata(folder)
    rows = [{"file_name": "b.png", "text": "blue"}]
    write_jsonl(folder, rows, "metadata.jsonl")
    examples = keras_byorn.Examples.from_folder(folder, tiny())
    assert_pairs(examples, [(BLUE, "blue")])
    assert examples.example_ids == ["metadata/0"]


@read(SECTION, "a folder with `metadata.csv`", "read by `file_name`")
def metadata_csv(folder):
    metadata(folder)
    text = "file_name,text\nb.png,blue\na.png,red\n"
    (folder / "metadata.csv").write_text(text)
    examples = keras_byorn.Examples.from_folder(folder, tiny())
    assert_pairs(examples, [(BLUE, "blue"), (RED, "red")])


def metadata(folder):
    picture().save(folder / "a.png")
    picture(BLUE).save(folder / "b.png")


@refused(SECTION, "a folder with two tables", "must have one table in it")
def two_tables(folder):
    for name in ("one.csv", "two.csv"):
        (folder / name).write_text("file_name,text\n")
    keras_byorn.Examples.from_folder(folder, tiny())


@refused(SECTION, "a folder without a table", "must have one table in it")
def no_table(folder):
    picture().save(folder / "a.png")
    keras_byorn.Examples.from_folder(folder, tiny())
