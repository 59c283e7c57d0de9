"""Fixtures of the fuzz tests: tiny tasks, and the memory of a clean run."""

import resource

import numpy as np
import pytest
from reader_cases.case import tiny

from keras_byorn.data.prepared import PreparedExamples


def peak_memory():
    """int. The most memory that this process has had, in KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@pytest.fixture(scope="session")
def tasks():
    """Tasks of both kinds of tokenizers: one with, one without images."""
    return {"SentencePiece": tiny(), "BPE": tiny("Qwen")}


@pytest.fixture(scope="session", autouse=True)
def clean_peak(tasks):
    """int. The most memory once clean examples were prepared, in KiB."""
    rows = [
        {
            "example_id": f"{index}",
            "images": np.full((32, 32, 3), index, "uint8"),
            "prompts": "describe the image\n",
            "responses": "red three left of a blue seven",
        }
        for index in range(200)
    ]
    PreparedExamples(rows, tasks["SentencePiece"], verbose=0)
    return peak_memory()
