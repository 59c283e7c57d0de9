"""Parquet files that hold their own checksum."""

import pathlib

from keras_byorn.data.digests import digest_of_bytes
from keras_byorn.data.files import read_bytes, replacing

CHECKSUM = "keras_byorn_checksum"
# Stands for the checksum while it is computed.
BLANK = b"0" * 32
MAX_BYTES = 2**36


def write_checked(table, path):
    """Writes a table, whole or not at all, with a checksum of the whole file.

    Any Parquet reader reads it.

    Args:
        table: a `pyarrow.Table`.
        path: string or path. An older file there is replaced.

    Returns:
        The path, a string.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    buffer = pa.BufferOutputStream()
    with pq.ParquetWriter(buffer, table.schema, store_schema=False) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({CHECKSUM: BLANK.decode()})
    content = buffer.getvalue().to_pybytes()
    place = _place_of(content, BLANK)
    checksum = digest_of_bytes(content).encode()
    with replacing(path) as temporary:
        with temporary.open("wb") as file:
            file.write(content[:place])
            file.write(checksum)
            file.write(content[place + len(BLANK) :])
    return str(path)


def read_checked(path, schema):
    """Reads a table that `write_checked` wrote.

    Args:
        path: string or path.
        schema: a `pyarrow.Schema`, that of the table.

    Returns:
        A `pyarrow.Table`.

    Raises:
        FileNotFoundError: if there is no file.
        ValueError: if it is damaged, or is none of these files.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = pathlib.Path(path)
    try:
        content = read_bytes(path, MAX_BYTES)
        with pa.BufferReader(content) as reader:
            found = pq.read_metadata(reader).metadata or {}
        checksum = found.get(CHECKSUM.encode(), b"")
        place = _place_of(content, checksum)
        blank = content[:place] + BLANK + content[place + len(BLANK) :]
        if digest_of_bytes(blank).encode() != checksum:
            raise ValueError("bytes that do not give the checksum")
        return pq.read_table(pa.BufferReader(content), schema=schema)
    except FileNotFoundError:
        raise
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as e:
        raise ValueError(
            "A file of this package must be as it was written. This one is "
            "damaged, is of an older version, or is another file: take a copy "
            f"of it, or make it anew. Received: {path}: {str(e)[:200]}"
        ) from e


def _place_of(content, checksum):
    """The one place of the checksum, behind its name."""
    name = CHECKSUM.encode()
    start = content.rfind(name)
    place = content.find(checksum, start + len(name))
    if start < 0 or len(checksum) != len(BLANK) or place < 0:
        raise ValueError("a file without a checksum")
    return place
