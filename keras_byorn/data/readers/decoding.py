"""Text of table files, decoded by the encoding that is named."""

import codecs
import pathlib

from keras_byorn.data.shown import legible

# The longer ones first: that of UTF-32 begins as that of UTF-16 does.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read_text(path, encoding="utf-8"):
    """Reads a file as text, without its byte order mark.

    Args:
        path: path of a file.
        encoding: string. Defaults to `"utf-8"`.

    Returns:
        A string, with the line ends of the file.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not in this encoding; names the line.
    """
    path = pathlib.Path(path)
    if path.exists() and not path.is_file():
        raise ValueError(
            "A table must be a regular file; for a folder with a table in it "
            f"take `Examples.from_folder`. Received: {legible(path)}"
        )
    data = path.read_bytes()
    try:
        name = codecs.lookup(encoding).name
    except LookupError:
        raise ValueError(
            "`encoding` must be one that Python knows, such as 'utf-8' or "
            f"'cp1252'. Received: {encoding!r}"
        ) from None
    if name == "utf-8":
        for mark, other in _MARKS:
            if data.startswith(mark):
                raise _wrong(path, encoding, f"begins as one in {other} does")
        encoding = "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        wrong = data[error.start : error.start + 1]
        raise _wrong(
            path, encoding, f"has the byte {wrong!r} in line {line}"
        ) from error
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise _wrong(path, encoding, f"has a NUL in line {line}")
    return text


def _wrong(path, encoding, finding):
    return ValueError(
        "A table must be text in the encoding that is named. Pass "
        "`encoding=`, such as 'cp1252', 'latin-1' or 'utf-16'. Received: "
        f"{legible(path)}, which {finding}, for encoding={encoding!r}"
    )
