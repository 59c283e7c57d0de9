"""Token scores of the reference, kept on disk for the next run."""

import contextlib
import pathlib
import warnings

import keras
import keras_hub
import numpy as np

from keras_byorn.data.digests import digest
from keras_byorn.data.files import read_bytes, replacing
from keras_byorn.data.views import View
from keras_byorn.detection.reference_digest import (
    description,
    reference_digest,
)

# Raise it when equal weights and examples give other scores, or when files are
# written in another form.
FORMAT = 3
MAX_BYTES = 2**33  # of a file
NUM_READ = 64  # images that are in memory at once
COLUMNS = ("log_likelihoods", "max_log_likelihoods")


class ScoreCache:
    """Keeps token scores in a folder, by reference and by example.

    An example is known by a digest of everything that the reference sees of
    it: the tokens of prompt and response and the images, all *under the view*,
    so that neither ids nor positions nor the code of a view matter. Where the
    view leaves the images as they are, none is read for it. The
    weights, the configuration, data types and versions of the reference are in
    the name of the file. Each pass adds a file with the scores that were not
    known before; several processes may share a folder.

    A file is named by a digest of its content as well. A file whose content
    does not fit its name is not read: a warning names it, it is removed, and
    its examples are scored anew.

    Args:
        folder: string or path. Made when something is written.
        reference: the `FrozenReference`. Its weights are read here, one by
            one.
        prepared: a `PreparedExamples`.
    """

    def __init__(self, folder, reference, prepared):
        self._folder = pathlib.Path(folder)
        self._prepared = prepared
        self._reference_name = digest(
            [
                f"format {FORMAT}",
                f"keras {keras.__version__}, {keras_hub.__version__}",
                reference_digest(reference),
                description(prepared.task.preprocessor),
            ]
        )
        self._keys = {}

    def read(self, view):
        """Reads the scores that are known of the examples under a view.

        Args:
            view: a `View`, or `None` for the examples as they are.

        Returns:
            A dict from the position of an example to an array `(2, R)`,
            float32, nats: log-likelihoods of its R response tokens, and of
            the likeliest tokens there.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        keys = self._keys_under(view)
        wanted = pa.array(sorted(set(keys)))
        known = {}
        for path in sorted(self._folder.glob(f"{self._reference_name}-*")):
            table = self._verified(path)
            if table is not None:
                table = table.filter(pc.is_in(table["example"], wanted))
                columns = (table[name].to_pylist() for name in COLUMNS)
                rows = zip(table["example"].to_pylist(), *columns)
                known.update((key, _row_of(*pair)) for key, *pair in rows)
        lengths = self._prepared.response_mask.sum(axis=-1)
        return {
            index: known[key]
            for index, key in enumerate(keys)
            if np.shape(known.get(key)) == (2, lengths[index])
        }

    def add(self, view, scores):
        """Keeps the scores that a pass has found.

        Args:
            view: as in `read`.
            scores: a dict as `read` returns it.

        Where the folder cannot be written to, this is a warning.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        keys = self._keys_under(view)
        rows = {keys[i]: values for i, values in scores.items()}
        columns = zip(*rows.values())
        table = pa.table([list(rows), *map(list, columns)], schema=_schema())
        content = pa.BufferOutputStream()
        pq.write_table(table, content)
        content = content.getvalue().to_pybytes()
        name = f"{self._reference_name}-{_digest_of_file(content)}.parquet"
        try:
            with replacing(self._folder / name) as temporary:
                temporary.write_bytes(content)
        except OSError as error:  # a cache is not worth a run
            warnings.warn(
                f"Scores of {len(rows):,} examples cannot be kept, and the "
                "next run computes them anew. Free space, or pass another "
                f"folder. Received: {error}",
                stacklevel=2,
            )

    def _verified(self, path):
        """Reads the table of a file, or returns `None` where it is damaged."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        with contextlib.suppress(ValueError, pa.ArrowException):
            content = read_bytes(path, MAX_BYTES)
            name = f"{self._reference_name}-{_digest_of_file(content)}"
            if path.stem == name:
                return pq.read_table(pa.BufferReader(content), schema=_schema())
        warnings.warn(
            f"A file with kept scores is damaged: {path}. It is removed, and "
            "its examples are scored anew.",
            stacklevel=2,
        )
        path.unlink(missing_ok=True)
        return None

    def _keys_under(self, view):
        """Digests of the examples under a view, a list of N strings."""
        view = view or View()
        name = repr(view)
        if name not in self._keys:
            self._keys[name] = list(self._digests(view))
        return self._keys[name]

    def _digests(self, view):
        prepared = self._prepared
        prompt_ids = prepared.prompt_ids_under(view)
        texts = zip(prompt_ids, prepared.response_ids)
        for (prompt, response), image in zip(texts, self._images(view)):
            yield digest([prompt, response, *image])

    def _images(self, view):
        """Yields what makes up the images of each example under a view."""
        images = self._prepared.images
        for start in range(0, len(images.digests), NUM_READ):
            end = min(start + NUM_READ, len(images.digests))
            indices = np.arange(start, end)
            if view.changes_pixels:
                yield from ([pixels] for pixels in images.pixels(indices, view))
            else:
                positions = view.positions(indices, len(images.digests))
                yield from (images.digests[i] for i in positions)


def _schema():
    import pyarrow as pa

    scores = pa.list_(pa.float32())
    return pa.schema(
        [("example", pa.string()), *((name, scores) for name in COLUMNS)]
    )


def _row_of(own, most):
    """Array `(2, R)` of a row, or `None` where it holds no scores."""
    if own is None or most is None or len(own) != len(most):
        return None
    values = np.array([own, most], "float32")
    return values if np.isfinite(values).all() else None


def _digest_of_file(content):
    return digest([np.frombuffer(content, "uint8")])
