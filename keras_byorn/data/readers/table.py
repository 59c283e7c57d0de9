"""Rows of a table file, those that are broken among them."""

import dataclasses
import pathlib

from keras_byorn.data.readers.rows import NumberedIds, Rows
from keras_byorn.data.shown import legible


@dataclasses.dataclass(frozen=True)
class Fault:
    """A row that is broken in the file itself.

    Attributes:
        reason: string.
    """

    reason: str


class Table:
    """Holds rows of a file; a broken one raises when it is read.

    Args:
        rows: list of dicts and of `Fault`.
    """

    def __init__(self, rows):
        self._rows = rows

    def __len__(self):
        return len(self._rows)

    def __getitem__(self, index):
        row = self._rows[index]
        if isinstance(row, Fault):
            raise ValueError(row.reason)
        return row


class Lines:
    """Places of rows, such as `"line 4 of captions.csv"`.

    Args:
        path: path of the file.
        lines: list of ints, or of strings such as `"4-6"`.
        word: string. Name of what is counted.
    """

    def __init__(self, path, lines, word="line"):
        self._path, self._lines, self._word = legible(path), lines, word

    def __getitem__(self, index):
        return f"{self._word} {self._lines[index]} of {self._path}"


def table_rows(path, rows, lines, word="line"):
    """Makes the `Rows` of a table file.

    Args:
        path: path of the file.
        rows: list of dicts and of `Fault`.
        lines: list, where each row stands.
        word: string. Name of what `lines` count.

    Returns:
        A `Rows`, with ids such as `"captions/0"`.
    """
    ids = NumberedIds(pathlib.Path(path).stem, len(rows))
    return Rows(Table(rows), ids, legible(path), Lines(path, lines, word))
