"""Files that are written whole or not at all."""

import contextlib
import os
import pathlib


@contextlib.contextmanager
def replacing(path):
    """Lets a file be written under a temporary name, then renames it.

    If writing fails, the temporary file is removed and the older file at
    `path`, if there is one, stays as it was. Missing folders are made.

    Args:
        path: string or path. Where the file shall be in the end.

    Returns:
        Context manager that gives the temporary `pathlib.Path` to write to.

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
