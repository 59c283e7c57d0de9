"""Atomic writing of files: whole or not at all."""

import contextlib
import os
import pathlib


@contextlib.contextmanager
def replacing(path):
    """Writes a file under a temporary name, then renames it.

    If writing fails, removes the temporary file and leaves an older file at
    `path` unchanged. Makes missing folders.

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
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
