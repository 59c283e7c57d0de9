"""Targets in a Parquet file, a row for each example."""

import dataclasses

import numpy as np

from keras_byorn.data.checked_parquet import read_checked, write_checked
from keras_byorn.data.shown import shortened
from keras_byorn.detection.verdicts import VERDICTS

MUST_BE_THERE = (
    "example_id",
    "prompt",
    "original_response",
    "plausibility",
    "suspect_probability",
    "verdict",
    "student_plausibility",
    "revision",
)


def schema():
    """Returns the `pyarrow.Schema` of the file."""
    import pyarrow as pa

    return pa.schema(
        [
            ("example_id", pa.string()),
            ("prompt", pa.string()),
            ("original_response", pa.string()),
            ("current_response", pa.string()),
            ("origin", pa.string()),
            ("plausibility", pa.float32()),
            ("suspect_probability", pa.float32()),
            ("verdict", pa.string()),
            ("student_plausibility", pa.float32()),
            ("revision", pa.int32()),
            ("replacement", pa.string()),
            ("replacement_ids", pa.list_(pa.int32())),
            ("written_by", pa.string()),
            ("masked_tokens", pa.list_(pa.int32())),
            ("digest", pa.string()),
        ]
    )


def table_of(rows):
    """Returns rows as a `pyarrow.Table`, one column for each field.

    Args:
        rows: iterable of `AuditRow`.
    """
    import pyarrow as pa

    rows = [dataclasses.asdict(row) for row in rows]
    return pa.Table.from_pylist(rows, schema=schema())


def save(rows, path):
    """Writes rows to a file, whole or not at all, and returns its path."""
    return write_checked(table_of(rows), path)


def load(path, reviewed):
    """Reads the rows that `save` wrote.

    Args:
        path: string or path.
        reviewed: sequence of strings, verdicts beside those of a detection.

    Returns:
        A list of dicts.

    Raises:
        FileNotFoundError: if there is no file.
        ValueError: if it is damaged, or if a value in it has no meaning.
    """
    rows = read_checked(path, schema()).to_pylist()
    for row in rows:
        fault = _fault(row, {*VERDICTS, *reviewed})
        if fault:
            raise ValueError(
                "A store of targets must hold values that have a meaning: "
                "make `TargetBatches` without it, to start anew. Received: "
                f"{fault} of {shortened(row['example_id'])} in {path}"
            )
    return rows


def _fault(row, verdicts):
    """Tells what is wrong with a row, or returns `None`."""
    missing = [name for name in MUST_BE_THERE if row[name] is None]
    if missing:
        return f"no {missing[0]}"
    if row["verdict"] not in verdicts:
        return f"verdict {shortened(row['verdict'])}"
    if not 0 <= row["suspect_probability"] <= 1:
        return f"suspect_probability {row['suspect_probability']:g}"
    for name in ("plausibility", "student_plausibility"):
        if np.isinf(row[name]):
            return f"{name} {row[name]:g}"
    if row["revision"] < 0:
        return f"revision {row['revision']}"
    if (row["replacement"] is None) != (row["replacement_ids"] is None):
        return "a replacement without tokens, or tokens without a replacement"
    for name in ("replacement_ids", "masked_tokens"):
        numbers = row[name]
        if numbers is not None and not _are_positions(numbers):
            return f"{name} {shortened(numbers)}"
    if row["masked_tokens"] and not row["current_response"]:
        return "masked_tokens and no current_response"
    return None


def _are_positions(numbers):
    return bool(numbers) and all(n is not None and n >= 0 for n in numbers)
