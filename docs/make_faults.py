"""Makes the table of docs/faults.md from the tests that assert it.

python docs/make_faults.py          # writes docs/faults.md
python docs/make_faults.py --check  # exits 1 where it differs

Each row is a case in tests/faults, which tests/faults/faults_test.py runs.
"""

import pathlib
import sys

FOLDER = pathlib.Path(__file__).resolve().parent
PAGE = FOLDER / "faults.md"
sys.path.insert(0, str(FOLDER.parent / "tests"))
sys.path.insert(0, str(FOLDER))
OPENING = """\
# Faults

Every bad input and fault that was tried, and what it gets. Each row is a test,
on every backend; messages name the example, the rule, the remedy and what was
received, and cut what is long. What the readers make of data that is merely
unusual stands in [data-formats.md](data-formats.md), and what an attacker gains
nevertheless in [threat-model.md](threat-model.md).

This page is made by `python docs/make_faults.py`.

{num_cases} cases: {num_errors} get an error, {num_warnings} a warning, and
{num_kept} are taken as they are or dealt with otherwise.
"""


def main():
    from make_data_formats import write

    return write(PAGE, page(), __doc__)


def page():
    """The page, as the text of its file."""
    from faults import CASES, MODULES
    from make_data_formats import cell

    num_errors = sum(case.error is not None for case in CASES)
    num_warnings = sum(case.warns for case in CASES)
    parts = [
        OPENING.format(
            num_cases=len(CASES),
            num_errors=num_errors,
            num_warnings=num_warnings,
            num_kept=len(CASES) - num_errors - num_warnings,
        )
    ]
    for section in (module.SECTION for module in MODULES):
        parts.append(f"## {section}\n")
        lines = ["| what is wrong | where | what it gets |", "|---|---|---|"]
        lines += [
            f"| {cell(case.wrong)} | {cell(case.where)} | {gets(case, cell)} |"
            for case in CASES
            if case.section == section
        ]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def gets(case, cell):
    text = cell(case.gets)
    if case.error is not None:
        name = getattr(case.error, "__name__", case.error)
        return f"**{name}**: “{text}”"
    return f"*a warning*: “{text}”" if case.warns else text


if __name__ == "__main__":
    sys.exit(main())
