"""Fixtures of the tests of tasks: a tiny preset of each family."""

import pytest

from keras_byorn.vlm.tiny_models import REFUSED, TINY
from keras_byorn.vlm.tiny_models.presets import (
    load_tiny_preset,
    save_tiny_preset,
)


@pytest.fixture(scope="session")
def presets(tmp_path_factory):
    """A function from a family's name to its class and a preset of it."""
    saved = {}

    def get(name):
        if name not in saved:
            folder = tmp_path_factory.mktemp("preset")
            make = {**TINY, **REFUSED}[name]
            saved[name] = save_tiny_preset(make, folder)
        return saved[name]

    return get


@pytest.fixture(scope="session")
def load(presets):
    """A function that loads a new task of a family's tiny preset."""
    return lambda name: load_tiny_preset(*presets(name))
