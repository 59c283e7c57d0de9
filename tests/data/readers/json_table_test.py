"""JSON of a line each, of one list, and of COCO."""

import json

import pytest

from keras_byorn.data.readers.json_table import read_json

ROWS = [{"image": "a.png", "caption": "x"}, {"image": "b.png", "caption": "y"}]


def read(folder, text, name="table.jsonl"):
    path = folder / name
    path.write_text(text, "utf-8")
    rows = read_json(path)
    return [rows.source[n] for n in range(len(rows))], rows


@pytest.mark.parametrize("name", ["table.jsonl", "table.json"])
def test_lists_and_lines_are_told_by_content(tmp_path, name):
    """The ending of the name does not matter."""
    lines = "\n".join(map(json.dumps, ROWS))
    for text in (lines, json.dumps(ROWS), json.dumps(ROWS, indent=1)):
        assert read(tmp_path, text, name)[0] == ROWS


def test_one_row_is_a_row(tmp_path):
    """A single object in a line is not mistaken for a whole file."""
    rows, table = read(tmp_path, json.dumps(ROWS[0]))
    assert rows == ROWS[:1] and table.place(0).startswith("line 1 of ")


def test_places(tmp_path):
    """Lines of lines, items of lists."""
    text = "\n\n".join(map(json.dumps, ROWS))
    assert read(tmp_path, text)[1].place(1).startswith("line 3 of ")
    table = read(tmp_path, json.dumps(ROWS))[1]
    assert table.place(1).startswith("item 1 of ")


def test_a_broken_line_is_one_row(tmp_path):
    """The others are read; it raises when it is asked for."""
    lines = [json.dumps(ROWS[0]), '{"image": ', "[1]", json.dumps(ROWS[1])]
    path = tmp_path / "table.jsonl"
    path.write_text("\n".join(lines))
    table = read_json(path)
    assert table.source[0] == ROWS[0] and table.source[3] == ROWS[1]
    with pytest.raises(ValueError, match="the line is no JSON.*image"):
        table.source[1]
    with pytest.raises(ValueError, match="must be an object"):
        table.source[2]


@pytest.mark.parametrize(
    "text, message",
    [
        ('[{"a": 1}', "which is broken"),
        (json.dumps({"data": [1]}, indent=1), r"images.*\['data'\]"),
        (json.dumps({"images": [], "annotations": [{"id": 1}]}), "KeyError"),
    ],
)
def test_other_json_is_refused(tmp_path, text, message):
    """With the file and what was found."""
    with pytest.raises(ValueError, match=message):
        read(tmp_path, text, "table.json")


def test_deep_nesting_does_not_crash(tmp_path):
    """A line of a hundred thousand brackets is a bad row."""
    text = json.dumps(ROWS[0]) + '\n{"a": ' + "[" * 10**5 + "\n"
    path = tmp_path / "table.jsonl"
    path.write_text(text)
    with pytest.raises(ValueError, match="the line is no JSON"):
        read_json(path).source[1]
