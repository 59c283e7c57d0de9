"""Files that are whole or not there at all, and found damaged where they are.

Checksums tell accidents, such as a full disk or a flipped bit. They do not
tell what somebody wrote on purpose who can write to the folder.
"""

import contextlib
import json
import os
import pathlib
import secrets

# Characters of the random part of a temporary name.
TOKEN_BYTES = 8
SUFFIX = ".tmp"
# A larger file of descriptions is none that the package wrote.
MAX_JSON_BYTES = 2**31


@contextlib.contextmanager
def replacing(path):
    """Writes a file under a temporary name, then renames it.

    If writing fails, removes the temporary file and leaves an older file at
    `path` unchanged. Makes missing folders. The temporary name cannot be
    foretold, and is opened only if nothing has it, so that no file of another
    is written through a link; the content is on the disk before the file has
    its name.

    Args:
        path: string or path. The final place of the file.

    Returns:
        Context manager that yields the temporary `pathlib.Path` to write to.

    Example:

    >>> with replacing("audit.html") as temporary:
    ...     temporary.write_text("<!doctype html>")
    """
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    token = secrets.token_hex(TOKEN_BYTES)
    temporary = path.with_name(f".{path.name}.{token}{SUFFIX}")
    os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    try:
        yield temporary
        sync(temporary)
        os.replace(temporary, path)
        sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def sync(path):
    """Waits until a file or folder is on the disk, where the system can tell.

    Args:
        path: path.
    """
    if os.name == "nt" and path.is_dir():
        return
    flags = os.O_RDONLY if os.name != "nt" else os.O_RDWR
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_leftovers(folder):
    """Removes the temporary files of processes that were killed.

    Args:
        folder: path, which only one process may be writing to.
    """
    for path in pathlib.Path(folder).glob(f".*{SUFFIX}"):
        path.unlink(missing_ok=True)


def read_json(path):
    """Reads a JSON file that the package wrote.

    Args:
        path: path.

    Returns:
        What is in it.

    Raises:
        ValueError: if it is no JSON, or of absurd size or depth.
    """
    return parsed_json(read_bytes(path, MAX_JSON_BYTES))


def parsed_json(content):
    """Parses the bytes of a JSON file.

    Args:
        content: bytes.

    Returns:
        What is in it.

    Raises:
        ValueError: if it is no JSON, or is of absurd depth.
    """
    try:
        return json.loads(content)
    except RecursionError as error:
        raise ValueError("lists within lists beyond any depth") from error


def read_bytes(path, most):
    """Reads a regular file.

    Args:
        path: path.
        most: int. Bytes that it may have.

    Returns:
        Its bytes.

    Raises:
        ValueError: if it is no regular file, or larger.
    """
    path = pathlib.Path(path)
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} is not a regular file")
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise ValueError(f"{size:,} bytes, more than {most:,}")
        return file.read()
