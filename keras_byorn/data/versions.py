"""Versions of all that computes scores."""

import importlib.metadata
import platform

import keras
import keras_hub
import numpy as np

from keras_byorn.version import __version__


def versions():
    """Returns pairs of names and versions of what computes the scores."""
    backend = keras.config.backend()
    try:
        version = importlib.metadata.version(backend)
    except importlib.metadata.PackageNotFoundError:  # under another name
        version = "not known"
    return [
        ("keras_byorn", __version__),
        ("keras", keras.__version__),
        ("keras_hub", keras_hub.__version__),
        (backend, version),
        ("numpy", np.__version__),
        ("Python", platform.python_version()),
    ]
