"""Fixtures of the fuzz tests: tiny tasks."""

import pytest
from reader_cases.case import tiny


@pytest.fixture(scope="session")
def tasks():
    """Tasks of both kinds of tokenizers: one with, one without images."""
    return {"SentencePiece": tiny(), "BPE": tiny("Qwen")}
