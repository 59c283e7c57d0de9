"""Parquet files of TensorFlow Datasets, with every row in them."""

import contextlib
import itertools

import pyarrow as pa
import pyarrow.parquet as pq
from tensorflow_datasets.core import file_adapters

ROWS_A_BATCH = 100


@contextlib.contextmanager
def every_parquet_row():
    """Replaces the Parquet writer of TFDS within a block.

    TFDS 4.9.10 slices its stream of examples into batches of 100 like a list,
    so that batch n skips 100 n examples and most of them are lost. The writer
    of this block takes one batch after the other from the stream.

    Returns:
        Context manager.

    Example:

    >>> with every_parquet_row():
    ...     builder.download_and_prepare()
    """
    parquet = file_adapters.FileFormat.PARQUET
    adapter = file_adapters.ADAPTER_FOR_FORMAT[parquet]

    class WholeParquet(adapter):
        @classmethod
        def write_examples(cls, path, iterator):
            schema, stream = cls._schema(), iter(iterator)
            with pq.ParquetWriter(path, schema) as writer:
                while batch := list(itertools.islice(stream, ROWS_A_BATCH)):
                    column = pa.array([example for _, example in batch])
                    writer.write_batch(
                        pa.RecordBatch.from_arrays([column], schema=schema)
                    )

    file_adapters.ADAPTER_FOR_FORMAT[parquet] = WholeParquet
    try:
        yield
    finally:
        file_adapters.ADAPTER_FOR_FORMAT[parquet] = adapter
