"""Embeddings of images by a frozen vision tower, computed once."""

import hashlib
import io
import itertools
import json
import pathlib
import tempfile
import typing
import warnings

import keras
import numpy as np

from keras_byorn.data.digests import digest
from keras_byorn.data.files import read_json, replacing
from keras_byorn.data.shown import shortened
from keras_byorn.vlm.task import images_of
from keras_byorn.vlm.vision import Embedded

# Embeddings that are held in memory at once; more of them go to a file.
MAX_BYTES = 2**31
FORMAT = 2


class ImageEmbeddings:
    """Keeps the embeddings of the images of a data set, each computed once.

    Images are known by their content: copies share one row, and a changed
    image is another one. Rows are kept for one state of the vision tower and
    of the image converter, their key; under another key all are computed anew.

    Beyond `MAX_BYTES` the rows are a file that is mapped into memory, and read
    only if its checksum is right.

    Args:
        folder: optional string or path. The place to keep the file for later
            runs. Defaults to memory, or a temporary folder.

    Example:

    >>> embeddings = ImageEmbeddings()
    >>> digests = [image_digests(example) for example in examples]
    >>> embeddings.refresh(
    ...     examples.__getitem__, digests, task, vision, batch_size=16
    ... )
    True
    >>> embeddings[[0, 1]].shape  # one image each
    (2, 16, 128)
    """

    def __init__(self, folder=None):
        self._folder = None if folder is None else pathlib.Path(folder)
        self._temporary = None
        self._stored = None
        self._rows = None
        self._has_axis = False

    def refresh(self, read, digests, task, vision, batch_size, verbose=0):
        """Reads the images that are new, each once, and encodes them.

        Args:
            read: callable from a position to an example.
            digests: sequence of N tuples, those of each example's images, see
                `image_digests`.
            task: a `VisionLanguageTask`.
            vision: its `Vision`, frozen.
            batch_size: int. Images in one call of the tower.
            verbose: 0 or 1. Whether to show a progress bar.

        Returns:
            bool. `False` if there is no image at all, or no room for what was
            made of them.
        """
        key = digest(task.vision_identity(vision))
        known = self._known(key)
        todo = _unknown(digests, known.rows if known else {})
        new = _encoded(
            _progress(todo, verbose),
            read,
            digests,
            lambda images: task.encode_images(vision, images),
            batch_size,
        )
        first = next(new, None)
        if first is not None:
            most = len(digests) * task.num_images[1]
            in_file = self._folder or first[1][:1].nbytes * most > MAX_BYTES
            kept = _kept(known, digests, batch_size, self._folder is not None)
            chunks = itertools.chain([first], new, kept)
            try:
                known = self._write(chunks, key, in_file)
            except OSError as error:  # a cache is not worth a run
                warnings.warn(
                    "Embeddings of images cannot be kept: the vision tower "
                    "runs in every epoch. Free space, or pass another "
                    f"`image_cache`. Received: {error}",
                    stacklevel=2,
                )
                return False
        self._stored = known
        self._has_axis = task.family.image_axis
        self._rows = _row_numbers(digests, known, task.num_images[1])
        return known is not None

    def __getitem__(self, indices):
        """Returns an `Embedded` of the images of some examples.

        Args:
            indices: sequence of ints, positions of the examples.
        """
        rows = self._rows[np.asarray(indices, int)]
        values = np.asarray(self._stored.array[np.maximum(rows, 0)])
        # The model masks the place of an image that is missing.
        values[rows < 0] = 0
        return Embedded(values if self._has_axis else values[:, 0])

    def _known(self, key):
        """Returns the stored rows of this key, or `None`."""
        stored = self._stored
        if stored is None or stored.path is not None:
            path = stored.path if stored else self._path(self._folder)
            stored = _read(path)
        return stored if stored and stored.key == key else None

    def _write(self, chunks, key, in_file):
        if not in_file:
            return _in_memory(chunks, key)
        folder = self._folder
        if folder is None:
            if self._temporary is None:
                self._temporary = tempfile.TemporaryDirectory(prefix="byorn-")
            folder = self._temporary.name
        return _in_file(chunks, key, self._path(folder))

    def _path(self, folder):
        return folder and pathlib.Path(folder) / "image_embeddings.bin"


class _Stored(typing.NamedTuple):
    """Rows of embeddings, `(U, P, D)`, and the image of each."""

    key: str
    rows: dict  # from an image's digest to its row
    array: np.ndarray
    path: typing.Any = None


def _unknown(digests, known):
    """Finds the places of images that are not known, each once.

    Args:
        digests: sequence of N tuples of strings.
        known: container of digests.

    Returns:
        A dict from the position of an example to the numbers of its images.
    """
    seen, places = set(), {}
    for index, own in enumerate(digests):
        for number, name in enumerate(own):
            if name not in known and name not in seen:
                seen.add(name)
                places.setdefault(index, []).append(number)
    return places


def _encoded(todo, read, digests, encode, batch_size):
    """Encodes images in full batches.

    Args:
        todo: iterable of pairs, a position and the numbers of its images.
        read: callable from a position to an example.
        digests: sequence of N tuples of strings.
        encode: function from `batch_size` images to their embeddings.
        batch_size: int.

    Yields:
        Pairs of a list of digests and an array with a row for each.
    """
    waiting = {}
    for index, numbers in todo:
        images = images_of(read(index)["images"])
        for number in numbers:
            waiting[digests[index][number]] = np.asarray(images[number])
            if len(waiting) == batch_size:
                yield list(waiting), encode(list(waiting.values()))
                waiting = {}
    if waiting:
        images = list(waiting.values())
        images += images[:1] * (batch_size - len(images))
        yield list(waiting), encode(images)[: len(waiting)]


def _kept(known, digests, batch_size, everything):
    """Yields known rows in chunks: those that the examples need, or all."""
    if known is None:
        return
    needed = set(known.rows)
    if not everything:  # a folder serves other runs too
        needed &= set(itertools.chain.from_iterable(digests))
    needed = sorted(needed, key=known.rows.get)
    for start in range(0, len(needed), batch_size):
        chunk = needed[start : start + batch_size]
        yield chunk, known.array[[known.rows[name] for name in chunk]]


def _row_numbers(digests, stored, most):
    """Finds the rows of each example's images, `(N, M)`; -1 for none."""
    rows = np.full((len(digests), most), -1, "int64")
    for example, own in enumerate(digests):
        rows[example, : len(own)] = [stored.rows[name] for name in own]
    return rows


def _in_memory(chunks, key):
    file = io.BytesIO()
    rows, like, _ = _write_rows(chunks, file)
    array = np.frombuffer(file.getbuffer(), like.dtype)
    return _Stored(key, rows, array.reshape(-1, *like.shape[1:]))


def _in_file(chunks, key, path):
    with replacing(path) as temporary:
        with open(temporary, "wb") as file:
            rows, like, checksum = _write_rows(chunks, file)
    index = {
        "format": FORMAT,
        "key": key,
        "dtype": str(like.dtype),
        "shape": [len(rows), *like.shape[1:]],
        "images": list(rows),
    }
    checksum = _sealed(index, checksum)
    with replacing(_index_of(path)) as temporary:
        temporary.write_text(
            json.dumps({**index, "checksum": checksum}), "utf-8"
        )
    with open(path, "rb") as file:
        return _mapped(index, file, path)


def _write_rows(chunks, file):
    """Writes all chunks.

    Returns:
        A triple: the row of each digest, an array with the dtype and shape of
        all the others, and the checksum of what was written.
    """
    rows, checksum = {}, hashlib.blake2b(digest_size=16)
    for digests, values in chunks:
        data = np.ascontiguousarray(values).reshape(-1).view("uint8")
        file.write(data)
        checksum.update(data)
        rows.update(zip(digests, itertools.count(len(rows))))
    return rows, values, checksum.hexdigest()


def _read(path):
    """Reads a file, or returns `None` if it is missing or damaged.

    Warns of a damaged file. What is mapped is the file that was checked, and
    no other that has taken its name since.
    """
    if path is None or not (path.exists() and _index_of(path).exists()):
        return None
    try:
        index = read_json(_index_of(path))
        if index["format"] != FORMAT:
            return None
        with open(path, "rb") as file:
            if index.pop("checksum") == _sealed(index, _checksum(file)):
                return _mapped(index, file, path)
        found = "bytes that do not give the checksum"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        found = repr(error)
    warnings.warn(
        f"`image_cache` at {path} is damaged, or was not written to its end: "
        "the images are encoded anew, and the file is replaced. "
        f"Received: {shortened(found)}",
        stacklevel=2,
    )
    return None


def _mapped(index, file, path):
    shape, dtype = tuple(index["shape"]), np.dtype(index["dtype"])
    array = np.memmap(file, dtype, mode="r", shape=shape)
    rows = {name: row for row, name in enumerate(index["images"])}
    return _Stored(index["key"], rows, array, path)


def _sealed(index, checksum):
    """Computes the checksum of a whole index, that of its rows included."""
    return digest([json.dumps(index), checksum])


def _checksum(file):
    checksum = hashlib.blake2b(digest_size=16)
    while data := file.read(2**24):
        checksum.update(data)
    return checksum.hexdigest()


def _index_of(path):
    return path.with_suffix(".json")


def _progress(places, verbose):
    """Yields the items of a dict, with a progress bar if there are any."""
    verbose = verbose if places else 0
    if verbose:
        print("Encoding images once: the vision tower is frozen")
    bar = keras.utils.Progbar(len(places), verbose=verbose, unit_name="image")
    for item in places.items():
        yield item
        bar.add(1)
