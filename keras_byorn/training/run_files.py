"""Files of a run: arrays and a manifest, whole or not there at all."""

import hashlib
import json
import pathlib
import secrets
import shutil

import numpy as np

try:
    import fcntl
except ImportError:  # on Windows
    fcntl = None

from keras_byorn.data.digests import digest
from keras_byorn.data.files import (
    read_json,
    remove_leftovers,
    replacing,
)

MANIFEST, LOCK = "run.json", "run.lock"
FORMAT = 1
TOKEN_BYTES = 8
BLOCK = 2**24  # bytes that are read at once


def new_name(kind):
    """Returns a name that no file has, such as `"epoch-5f0c..."`.

    Args:
        kind: string.
    """
    return f"{kind}-{secrets.token_hex(TOKEN_BYTES)}"


def write_manifest(folder, manifest):
    """Writes a manifest, the last of all files of a state.

    Args:
        folder: path.
        manifest: dict of what JSON holds.
    """
    sealed = {**manifest, "checksum": _seal(manifest)}
    with replacing(folder / MANIFEST) as temporary:
        temporary.write_text(json.dumps(sealed, indent=1), "utf-8")


def read_manifest(folder):
    """Reads the manifest of a folder.

    Args:
        folder: path.

    Returns:
        A dict, or `None` where there is none.

    Raises:
        ValueError: if it is damaged, or of another format.
    """
    path = folder / MANIFEST
    if not path.exists():
        return None
    try:
        manifest = read_json(path)
        if manifest.pop("checksum") != _seal(manifest):
            raise ValueError("text that does not give the checksum")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise damaged(path, error) from error
    if manifest["format"] != FORMAT:
        raise ValueError(
            f"The state of a run must be of format {FORMAT}. Train into "
            f"another `state_dir`. Received: format {manifest['format']} in "
            f"{folder}"
        )
    return manifest


def write_arrays(folder, name, arrays):
    """Writes arrays one after the other, under a name of its own.

    Args:
        folder: path.
        name: string, the beginning of the name of the file.
        arrays: iterable of pairs, a name and an array; of them one is in
            memory at a time.

    Returns:
        A dict for the manifest: the file, what is in it, and a checksum.
    """
    path = folder / f"{new_name(name)}.bin"
    checksum, index = hashlib.blake2b(digest_size=16), []
    with replacing(path) as temporary:
        with temporary.open("wb") as file:
            for key, values in arrays:
                values = np.asarray(values)
                data = np.ascontiguousarray(values).reshape(-1).view("uint8")
                file.write(data)
                checksum.update(data)
                index.append([key, values.dtype.name, list(values.shape)])
    return {
        "file": path.name,
        "arrays": index,
        "checksum": checksum.hexdigest(),
    }


def read_arrays(folder, entry):
    """Reads arrays one after the other, once the whole file is checked.

    Args:
        folder: path.
        entry: dict that `write_arrays` returned.

    Yields:
        Pairs of a name and an array.

    Raises:
        ValueError: if the file is damaged.
    """
    path = folder / pathlib.Path(entry["file"]).name  # in the folder alone
    try:
        with path.open("rb") as file:
            _check(file, entry["checksum"])
            for key, dtype, shape in entry["arrays"]:
                dtype = np.dtype(dtype)
                count = int(np.prod(shape, dtype="int64"))
                values = np.frombuffer(file.read(count * dtype.itemsize), dtype)
                yield key, values.reshape(shape)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise damaged(path, error) from error


def locked(folder):
    """Locks a folder for this process, until the file is closed.

    A process that is killed holds no lock. Systems without such locks have
    none here.

    Args:
        folder: path.

    Returns:
        An open file, to be closed.

    Raises:
        ValueError: if another run has it.
    """
    file = (folder / LOCK).open("a")
    if fcntl is None:
        return file
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise ValueError(
            "`state_dir` is in use: two runs would write over one another. "
            "Wait for the other to end, or pass another folder. "
            f"Received: {folder}"
        ) from error
    return file


def remove_others(folder, names):
    """Removes what no manifest names any more, of runs that were killed.

    Args:
        folder: path.
        names: collection of strings, the files and folders to keep.
    """
    remove_leftovers(folder)
    for path in folder.iterdir():
        if path.name in names:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def damaged(path, found):
    """Returns the error for a file that is not what was written."""
    return ValueError(
        "The state of a run must be as it was written. This one is damaged, "
        "so that nobody knows what would be trained on: take a copy of the "
        f"folder, or train into another `state_dir`. Received: {path}: "
        f"{str(found)[:200]}"
    )


def _check(file, checksum):
    found = hashlib.blake2b(digest_size=16)
    while block := file.read(BLOCK):
        found.update(block)
    if found.hexdigest() != checksum:
        raise ValueError("bytes that do not give the checksum")
    file.seek(0)


def _seal(manifest):
    return digest([json.dumps(manifest, sort_keys=True)])
