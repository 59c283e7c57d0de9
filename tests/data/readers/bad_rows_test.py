"""One report of all rows that are bad, and where they are written."""

import json
import pickle

import pytest
from reader_cases.case import load, picture, write_jsonl

import keras_byorn
from keras_byorn.data.readers.bad_rows import (
    MAX_NAMED,
    BadRow,
    BadRowsError,
    RowError,
    bad_row,
    write_bad_rows,
)


def table(folder, bad, count=30):
    """Rows of one picture; those in `bad` name another, which is missing."""
    picture().save(folder / "a.png")
    names = ["gone.png" if n in bad else "a.png" for n in range(count)]
    rows = [{"image": i, "caption": f"c{n}"} for n, i in enumerate(names)]
    return write_jsonl(folder, rows)


def test_one_report_has_all_bad_rows(tmp_path):
    """In the order of the file, with example, line, file and reason."""
    path = table(tmp_path, bad={3, 29})
    with pytest.raises(BadRowsError) as caught:
        load(path)
    assert [row.example_id for row in caught.value.rows] == [
        "captions/3",
        "captions/29",
    ]
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("2 of 30 rows cannot be used.")
    assert lines[1].startswith(f"  line 4 of {path}, example 'captions/3': ")
    assert "there is no file 'gone.png'" in lines[2]


def test_a_long_report_is_cut(tmp_path):
    """The error has all rows, its message the first of them."""
    with pytest.raises(BadRowsError) as caught:
        load(table(tmp_path, bad=range(29)))
    assert len(caught.value.rows) == 29
    lines = str(caught.value).splitlines()
    assert len(lines) == 2 + MAX_NAMED
    assert (
        lines[-1] == f"  and {29 - MAX_NAMED} more, in the `rows` of this error"
    )


def test_bad_rows_are_dropped_and_written(tmp_path):
    """Ids of the others stay; a file says what was left out and why."""
    with pytest.warns(UserWarning, match="Dropped 2 of 30 rows.*2 × there is"):
        examples = load(table(tmp_path, bad={3, 29}), on_bad="drop")
    assert len(examples) == 28
    assert repr(examples).endswith("; 2 rows dropped>")
    ids = [n for n in range(29) if n != 3]
    assert examples.example_ids == [f"captions/{n}" for n in ids]
    assert [example["responses"] for example in examples] == [
        f"c{n}" for n in ids
    ]
    write_bad_rows(examples.dropped, tmp_path / "out" / "dropped.jsonl")
    text = (tmp_path / "out" / "dropped.jsonl").read_text()
    rows = [json.loads(line) for line in text.splitlines()]
    assert [row["example_id"] for row in rows] == ["captions/3", "captions/29"]
    assert set(rows[0]) == {"example_id", "place", "reason"}


def test_dropping_all_rows_is_an_error(tmp_path):
    """Nothing would be left to train on."""
    with pytest.raises(BadRowsError, match="4 of 4 rows"):
        load(table(tmp_path, bad=range(4), count=4), on_bad="drop")


def test_without_a_check_a_row_fails_when_it_is_read(tmp_path):
    """By its name as well, and from inside of `Examples`."""
    examples = load(table(tmp_path, bad={3}), check=False)
    assert examples[2]["responses"] == "c2"
    with pytest.raises(RowError, match="line 4 of .*'captions/3': there is no"):
        examples[3]
    with pytest.raises(ValueError, match="needs `check=True`"):
        load(table(tmp_path, bad={3}), check=False, on_bad="drop")


def test_long_reasons_are_cut():
    """A value of a million characters must not fill the screen."""
    row = bad_row(OSError("x" * 10**6), "i" * 10**6, "line 1 of a.csv")
    assert len(str(row)) < 600
    assert str(row).startswith("line 1 of a.csv, example 'iii")
    assert "OSError: xxx" in row.reason


@pytest.mark.parametrize(
    "error",
    [
        RowError(BadRow("a", "line 1", "why")),
        BadRowsError([BadRow("a", "line 1", "why")], 3),
    ],
)
def test_errors_survive_another_process(error):
    """Workers pickle what they raise."""
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error) and type(again) is type(error)


def test_any_source_names_the_example():
    """`Examples` of one's own source tells which row failed."""

    class Source(list):
        def __getitem__(self, index):
            raise KeyError("caption")

    with pytest.raises(RowError, match="row 0 of Source.*'0'.*KeyError"):
        keras_byorn.Examples(Source([1]))
    examples = keras_byorn.Examples(Source([1]), example_ids=["mine"])
    with pytest.raises(RowError, match="example 'mine': KeyError"):
        examples[0]
