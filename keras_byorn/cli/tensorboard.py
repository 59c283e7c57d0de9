"""The record of a fine-tune for TensorBoard."""

import importlib.util
import time
import warnings

import keras

FOLDER = "tensorboard"


def callbacks(out):
    """Returns the callback in a list, empty where its package is missing.

    Args:
        out: path of the folder of the command.
    """
    if not _is_installed():
        warnings.warn(
            "TensorBoard has no record of this run, for its package is not "
            "installed. `pip install tensorboard` for the next one.",
            stacklevel=2,
        )
        return []
    return [keras.callbacks.TensorBoard(out / FOLDER, write_graph=False)]


def write_text(out, name, text):
    """Adds a text to the record of a run, where there is one.

    Args:
        out: path of the folder of the command.
        name: string.
        text: string, Markdown.
    """
    if not _is_installed():
        return
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.plugins.text.summary_v2 import text_pb
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    writer = EventFileWriter(str(out / FOLDER / "train"))
    summary = text_pb(name, text)
    writer.add_event(Event(wall_time=time.time(), step=0, summary=summary))
    writer.close()


def _is_installed():
    return importlib.util.find_spec("tensorboard") is not None
