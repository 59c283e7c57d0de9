"""Targets in a Parquet file, a row for each example."""

import dataclasses

from keras_byorn.data.files import replacing


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
    import pyarrow.parquet as pq

    with replacing(path) as temporary:
        pq.write_table(table_of(rows), temporary)
    return str(path)


def load(path):
    """Reads the rows that `save` wrote, a list of dicts."""
    import pyarrow.parquet as pq

    return pq.read_table(path, schema=schema()).to_pylist()
