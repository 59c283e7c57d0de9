"""Files are written whole or not at all."""

import contextlib

from keras_byorn.data.files import replacing


def test_failure_midway_leaves_the_old_file(tmp_path):
    """A full disk or a stop button never leaves half a file."""
    path = tmp_path / "audit.html"
    path.write_text("old")
    with contextlib.suppress(KeyboardInterrupt):
        with replacing(path) as temporary:
            temporary.write_text("half of the n")
            raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
