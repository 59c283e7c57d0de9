"""Rows that cannot be read: one error for one, one report for all of them."""

import collections
import dataclasses
import json
import warnings

from keras_byorn.data.files import replacing
from keras_byorn.data.shown import legible, shortened

MAX_NAMED = 20  # rows that a report shows; all are in its `rows`
MAX_REASON = 400  # characters of a reason


@dataclasses.dataclass(frozen=True)
class BadRow:
    """A row that cannot be read, and why.

    Attributes:
        example_id: string. The id that the row would have.
        place: string, such as `"line 4 of captions.csv"`.
        reason: string.
    """

    example_id: str
    place: str
    reason: str

    def __str__(self):
        name = shortened(self.example_id)
        return legible(f"{self.place}, example {name}: {self.reason}")


class RowError(ValueError):
    """Error of one row, with its example, line and file.

    Args:
        row: a `BadRow`.
    """

    def __init__(self, row):
        super().__init__(str(row))
        self.row = row

    def __reduce__(self):
        return type(self), (self.row,)


class BadRowsError(ValueError):
    """Error of all rows of a data set that cannot be read.

    Args:
        rows: sequence of `BadRow`.
        num_rows: int. Rows that were looked at.

    Attributes:
        rows: tuple of `BadRow`, all of them.
    """

    def __init__(self, rows, num_rows):
        self.rows, self.num_rows = tuple(rows), num_rows
        super().__init__(_report(self.rows, num_rows))

    def __reduce__(self):
        return type(self), (self.rows, self.num_rows)


def bad_row(error, example_id, place):
    """Makes a `BadRow` of whatever was raised for a row.

    Args:
        error: an exception.
        example_id: string.
        place: string.

    Returns:
        A `BadRow`; that of the error, if it has one already.
    """
    if isinstance(error, RowError):
        return error.row
    reason = str(error) or type(error).__name__
    if not isinstance(error, ValueError):
        reason = f"{type(error).__name__}: {reason}"
    if len(reason) > MAX_REASON:
        reason = f"{reason[:MAX_REASON]}..."
    return BadRow(example_id, place, reason)


def raise_or_drop(rows, num_rows, on_bad):
    """Raises one report of bad rows, or warns of them.

    Args:
        rows: sequence of `BadRow`.
        num_rows: int. Rows that were looked at.
        on_bad: `"raise"` or `"drop"`.

    Raises:
        BadRowsError: If there are bad rows, and they are not to be dropped or
            no other row is left.
    """
    if not rows:
        return
    if on_bad == "raise" or len(rows) == num_rows:
        raise BadRowsError(rows, num_rows)
    reasons = collections.Counter(_kind(row) for row in rows)
    warnings.warn(
        f"Dropped {len(rows):,} of {num_rows:,} rows that cannot be used; "
        "they are in `examples.dropped`. Most often: "
        + "; ".join(f"{n:,} × {text}" for text, n in reasons.most_common(3)),
        stacklevel=7,
    )


def write_bad_rows(rows, path):
    """Writes bad rows to a JSONL file, a line each.

    Args:
        rows: sequence of `BadRow`.
        path: string or path.

    Example:

    >>> write_bad_rows(examples.dropped, "out/dropped.jsonl")
    """
    with replacing(path) as temporary:
        lines = (json.dumps(dataclasses.asdict(row)) + "\n" for row in rows)
        temporary.write_text("".join(lines), "utf-8")


def _report(rows, num_rows):
    lines = [
        f"{len(rows):,} of {num_rows:,} rows cannot be used. Mend them, or "
        "leave them out with `on_bad='drop'`. Received:"
    ]
    lines += [f"  {row}" for row in rows[:MAX_NAMED]]
    if len(rows) > MAX_NAMED:
        lines.append(
            f"  and {len(rows) - MAX_NAMED:,} more, in the `rows` of this error"
        )
    return "\n".join(lines)


def _kind(row):
    """Returns a reason without what differs from row to row."""
    return row.reason.split(". ")[0].split(" Received")[0]
