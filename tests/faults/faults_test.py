"""Every bad input and fault gets what the table of the docs says."""

import pathlib
import runpy
import warnings

import pytest
from fuzz.outcomes import check_message

import keras_byorn
from faults import CASES, MODULES

ROOT = pathlib.Path(keras_byorn.__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "faults.md"
PARAMS = [
    pytest.param(
        case,
        id=f"{number}-{case.wrong}".encode("ascii", "replace").decode(),
        marks=[pytest.mark.slow] * case.slow,
    )
    for number, case in enumerate(CASES)
]


@pytest.mark.parametrize("case", PARAMS)
def test_each_fault_gets_what_the_table_says(case, tmp_path):
    """The class of the error, and a part of its message, which is short."""
    if case.error is not None:
        with pytest.raises(Exception) as caught, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            case.run(tmp_path)
        assert type(caught.value).__name__ == error_name(case)
        message = str(caught.value)
    elif case.warns:
        with pytest.warns(UserWarning) as told:
            case.run(tmp_path)
        message = next(
            (str(w.message) for w in told if case.gets in str(w.message)), ""
        )
    else:
        case.run(tmp_path)
        return
    assert case.gets in message
    check_message(message)


def error_name(case):
    return getattr(case.error, "__name__", case.error)


def test_there_are_many_cases():
    """Each stands in the table once, in a section of its own."""
    names = [(case.section, case.wrong, case.where) for case in CASES]
    assert len(set(names)) == len(names) >= 80
    sections = {module.SECTION for module in MODULES}
    assert {case.section for case in CASES} == sections


def test_the_page_is_what_the_cases_say():
    """Made by `python docs/make_faults.py`, and committed with it."""
    made = runpy.run_path(str(ROOT / "docs" / "make_faults.py"))["page"]()
    assert PAGE.read_text("utf-8") == made, "run docs/make_faults.py"
