"""Hostile examples take no more memory than honest ones."""

import pathlib

import numpy as np
import pytest

from fuzz.profiles import PROFILE, PROFILES
from fuzz.strategies import ODD, SPELLED
from keras_byorn.data.prepared import PreparedExamples

STATUS = pathlib.Path("/proc/self/status")
REFERENCES = pathlib.Path("/proc/self/clear_refs")
TEXTS = (*SPELLED, *ODD, "red three", "", "x" * 20_000, None, 7, b"\xff")
SHAPES = ((0, 0, 3), (32, 32), (32, 32, 4), (1, 1, 3), (400, 400, 3))
HUGE = np.broadcast_to(np.float32(7), (20_000, 20_000, 3))
# What an honest run and a hostile one may differ by.
MOST = 1.2


def peak_of(tasks, make):
    """Prepares examples, a few at a time; returns the peak, in KiB."""
    rng = np.random.default_rng(0)
    REFERENCES.write_text("5")  # forgets the peak so far
    num_refused = 0
    for _ in range(PROFILES[PROFILE] // 5):
        rows = [make(rng, index) for index in range(5)]
        try:
            PreparedExamples(rows, tasks["SentencePiece"], verbose=0)
        except ValueError:
            num_refused += 1
    (line,) = (v for v in STATUS.read_text().splitlines() if "VmHWM" in v)
    return int(line.split()[1]), num_refused


def honest(rng, index):
    return {
        "example_id": f"{index}",
        "images": rng.integers(0, 256, (32, 32, 3)).astype("uint8"),
        "prompts": "describe the image\n",
        "responses": "red three left of a blue seven",
    }


def hostile(rng, index):
    """An example of which nearly one in two fields is hostile."""
    row = honest(rng, index)
    for field in ("prompts", "responses", "example_id"):
        if rng.random() < 0.1:
            row[field] = TEXTS[rng.integers(len(TEXTS))]
    if rng.random() < 0.1:
        dtype = rng.choice(["uint8", "float32", "int64", "bool", "complex64"])
        row["images"] = np.ones(SHAPES[rng.integers(len(SHAPES))], dtype)
    if rng.random() < 0.05:
        row["images"] = HUGE
    return row


@pytest.mark.skipif(not REFERENCES.exists(), reason="Linux tells the peak")
@pytest.mark.filterwarnings("ignore")
def test_peak_memory_is_that_of_honest_examples(tasks):
    """Within a fifth of it, twenty thousand pixels wide or not."""
    expected, num_refused = peak_of(tasks, honest)
    assert num_refused == 0
    found, num_refused = peak_of(tasks, hostile)
    assert num_refused > 0
    assert found <= MOST * expected, (found, expected)
