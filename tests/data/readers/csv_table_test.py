"""Cells, rows and lines of tables."""

import pytest

from keras_byorn.data.readers.csv_table import read_csv


def rows_of(folder, text, **options):
    path = folder / "table.csv"
    path.write_text(text, "utf-8", newline="")
    rows = read_csv(path, **options)
    return [rows.source[n] for n in range(len(rows))], rows


@pytest.mark.parametrize(
    "header, delimiter",
    [
        ("image,caption", ","),
        ("image;caption", ";"),
        ("image\tcaption", "\t"),
        ("image|caption", "|"),
        ("image;caption;a,b,c,d", ";"),
        ("image\tcaption\ta|b", "\t"),
        ("one;two", ";"),
    ],
)
def test_delimiters(tmp_path, header, delimiter):
    """Names that are known tell it, and else the number of columns."""
    names = header.split(delimiter)
    cells = [f"cell {n}" for n in range(len(names))]
    rows, _ = rows_of(tmp_path, f"{header}\n{delimiter.join(cells)}\n")
    assert rows == [dict(zip(names, cells))]


def test_a_delimiter_that_is_named(tmp_path):
    """Any one character."""
    rows, _ = rows_of(tmp_path, "image~text\na.png~x,y\n", delimiter="~")
    assert rows == [{"image": "a.png", "text": "x,y"}]


def test_lines_are_those_of_the_file(tmp_path):
    """Whatever lines a quoted cell takes, and however they end."""
    text = 'image,text\r\n\r\na.png,"two\r\nlines"\r\nb.png,x\r\n'
    rows, table = rows_of(tmp_path, text)
    assert [row["text"] for row in rows] == ["two\r\nlines", "x"]
    assert table.place(0).startswith("line 3-4 of ")
    assert table.place(1).startswith("line 5 of ")
    assert list(table.ids) == ["table/0", "table/1"]


def test_only_names_of_pictures_lose_their_number(tmp_path):
    """A caption may speak of `a.png#1`."""
    rows, _ = rows_of(tmp_path, "image,text\na.png#1,a.png#1\n")
    assert rows == [{"image": "a.png", "text": "a.png#1"}]


def test_a_cell_may_be_long(tmp_path):
    """100,000 characters are read; a longer cell is refused by its line."""
    rows, _ = rows_of(tmp_path, f"image,text\na.png,{'x' * 10**5}\n")
    assert len(rows[0]["text"]) == 10**5
    path = tmp_path / "table.csv"
    path.write_text(f"image,text\na.png,{'x' * 10**6}\nb.png,y\n")
    table = read_csv(path)
    assert table.source[1] == {"image": "b.png", "text": "y"}
    with pytest.raises(ValueError, match="or a cell is too long: field larger"):
        table.source[0]


def test_blank_lines_are_no_rows(tmp_path):
    """A row of empty cells is one, and is refused later."""
    rows, _ = rows_of(tmp_path, "image,text\n\n  \na.png,x\n,\n")
    assert rows == [{"image": "a.png", "text": "x"}, {"image": "", "text": ""}]
