"""Every kind of data that people have: read rightly, or refused by name."""

import pathlib
import runpy
import warnings

import pytest
from reader_cases import CASES

import keras_byorn

ROOT = pathlib.Path(keras_byorn.__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "data-formats.md"


@pytest.mark.parametrize(
    "case",
    CASES,
    ids=lambda case: case.run.__module__ + "-" + case.run.__name__,
)
def test_each_kind_is_read_or_refused(case, tmp_path):
    """Pixels, text and pairing are asserted; refusals say what to do."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Dropped", UserWarning)
        if not case.refused:
            case.run(tmp_path)
            return
        with pytest.raises(ValueError) as caught:
            case.run(tmp_path)
    assert case.outcome in str(caught.value)


def test_there_are_many_kinds():
    """Each kind stands in the table once."""
    kinds = [(case.section, case.kind) for case in CASES]
    assert len(set(kinds)) == len(kinds) >= 60
    assert sum(case.refused for case in CASES) >= 30


def test_the_page_is_what_the_cases_say():
    """Made by `python docs/make_data_formats.py`, and committed with it."""
    script = ROOT / "docs" / "make_data_formats.py"
    made = runpy.run_path(str(script))["page"]()
    assert PAGE.read_text("utf-8") == made, "run docs/make_data_formats.py"
