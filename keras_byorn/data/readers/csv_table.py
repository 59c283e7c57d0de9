"""Tables of cells, parted by a comma, a semicolon, a tab or a bar."""

import collections
import csv
import io
import pathlib
import re

from keras_byorn.data.readers.decoding import read_text
from keras_byorn.data.readers.fields import IMAGE_FIELDS, TEXT_FIELDS, normal
from keras_byorn.data.readers.table import Fault, table_rows
from keras_byorn.data.shown import legible, listed, shortened

DELIMITERS = (",", ";", "\t", "|")
_KNOWN = {
    *IMAGE_FIELDS,
    *(name for _, *names in TEXT_FIELDS for name in names if name),
}
# The name of a picture; with `#0`, the number of its caption, in Flickr8k.
_PICTURE = re.compile(
    r"(.*\.(?:jpe?g|png|webp|gif|bmp|tiff?|ppm|jp2|avif))(#\d+)?", re.I
)


def read_csv(path, encoding="utf-8", delimiter=None):
    """Reads a file of cells as rows of strings.

    Without a header, a file of two columns, a picture and a caption, is read
    as such.

    Args:
        path: string or path.
        encoding: string.
        delimiter: optional string, of one character. Defaults to the one of
            `DELIMITERS` that parts the header into names that are known, or
            into most.

    Returns:
        A `Rows`. A row with other cells than the header is a row that raises
        when read.

    Raises:
        ValueError: If the file is not in the encoding, has one column, or
            names columns alike.
    """
    path = pathlib.Path(path)
    text = read_text(path, encoding)
    if not text.strip():
        return table_rows(path, [], [])
    delimiter = delimiter or _find_delimiter(path, text)
    records = _records(text, delimiter)
    header, first = None, None
    for record in records:
        first = record
        break
    if isinstance(first[1], Fault):
        raise ValueError(
            f"The header of a table must be readable: {first[1].reason}. "
            f"Received: line {first[0]} of {legible(path)}"
        )
    header = [name.strip() for name in first[1]]
    pending = []
    if any(_PICTURE.fullmatch(name) for name in header):
        header, pending = _without_header(path, header), [first]
    _check_header(path, header)
    rows, lines = [], []
    for line, cells in [*pending, *records]:
        rows.append(_row(header, cells, delimiter))
        lines.append(line)
    return table_rows(path, rows, lines)


def _find_delimiter(path, text):
    first = next(line for line in io.StringIO(text) if line.strip())

    def quality(delimiter):
        reader = _reader(io.StringIO(first), delimiter, strict=False)
        try:
            names = next(reader, [])
        except csv.Error:  # a name that is too long
            names = []
        known = {normal(name) for name in names} & _KNOWN
        pictures = sum(bool(_PICTURE.fullmatch(n.strip())) for n in names)
        # The first delimiter wins where both are equal.
        return len(known) + pictures, len(names)

    found = max(DELIMITERS, key=quality)
    if quality(found)[1] < 2:
        raise ValueError(
            "A table must have a column for the image and one for the text, "
            "parted by a comma, a semicolon, a tab or a bar. Pass "
            "`delimiter=` for another. Received: "
            f"{legible(path)}, which begins with {shortened(first)}"
        )
    return found


def _reader(lines, delimiter, strict=True):
    return csv.reader(
        lines, delimiter=delimiter, strict=strict, skipinitialspace=True
    )


def _records(text, delimiter):
    """Yields the lines and the cells, or the `Fault`, of each record."""
    reader = _reader(io.StringIO(text, newline=""), delimiter)
    while True:
        start = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            cells = Fault(
                f"the quotes of the row do not match, or a cell is too long: "
                f"{error}. A quote within a quoted cell is doubled"
            )
        stop = reader.line_num
        if not isinstance(cells, Fault) and not any(c.strip() for c in cells):
            if len(cells) < 2:
                continue  # a blank line
        yield start if start == stop else f"{start}-{stop}", cells


def _without_header(path, cells):
    if len(cells) != 2 or not _PICTURE.fullmatch(cells[0]):
        raise ValueError(
            "A table must have the names of its columns in the first line. "
            "Without them it must have two, a picture and a caption. Received: "
            f"{legible(path)}, which begins with {shortened(cells)}"
        )
    return ["image", "caption"]


def _check_header(path, header):
    counts = collections.Counter(name for name in header if name)
    repeated = [name for name, count in counts.items() if count > 1]
    if repeated:
        raise ValueError(
            "The columns of a table must have names of their own. Received: "
            f"{legible(path)}, which names {listed(repeated)} twice"
        )


def _row(header, cells, delimiter):
    if isinstance(cells, Fault):
        return cells
    if len(cells) != len(header):
        hint = ""
        if len(cells) > len(header):
            hint = f"; a cell with {delimiter!r} in it must be quoted"
        return Fault(
            f"a row must have as many cells as the header, {len(header)}"
            f"{hint}. Received: {len(cells)}, "
            f"{shortened(delimiter.join(cells))}"
        )
    if any(_swallows(cell, len(header), delimiter) for cell in cells):
        return Fault(
            "a quote that is not closed made one cell of several lines. "
            f"Received: {shortened(delimiter.join(cells))}"
        )
    return {
        name: _picture_name(cell) if normal(name) in IMAGE_FIELDS else cell
        for name, cell in zip(header, cells)
        if name
    }


def _swallows(cell, num_cells, delimiter):
    """Returns whether lines within a cell look like rows of the table."""
    if "\n" not in cell:
        return False
    for line in cell.splitlines()[1:]:
        parts = line.split(delimiter)
        if len(parts) >= num_cells > 1:
            if any(_PICTURE.fullmatch(part.strip(' "')) for part in parts):
                return True
    return False


def _picture_name(cell):
    """Takes the number of the caption off the name of a picture."""
    found = _PICTURE.fullmatch(cell.strip())
    return found[1] if found and found[2] else cell
