"""Makes the table of docs/data-formats.md from the tests that assert it.

python docs/make_data_formats.py          # writes docs/data-formats.md
python docs/make_data_formats.py --check  # exits 1 where it differs

Each row is a case in tests/reader_cases, which tests/data/readers runs.
"""

import argparse
import pathlib
import sys

FOLDER = pathlib.Path(__file__).resolve().parent
PAGE = FOLDER / "data-formats.md"
sys.path.insert(0, str(FOLDER.parent / "tests"))
OPENING = """\
# Data formats

What the readers of `keras_byorn.Examples` make of each kind of data; how they
are called is in [data.md](data.md). Each row is a test that asserts pixels,
texts and their pairing, on every backend. *Refused* comes with a part of the
message, which names the example, the line and the file; with
`on_bad="drop"` the other rows are read.

This page is made by `python docs/make_data_formats.py`.

{num_read} kinds are read, {num_refused} are refused.
"""


def main():
    return write(PAGE, page(), __doc__)


def write(path, text, description):
    """Writes a page, or tells with `--check` that it is not what it was.

    Args:
        path: path of the page.
        text: string, what it is to be.
        description: string, for `--help`.

    Returns:
        int, the exit code.
    """
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--check", action="store_true")
    is_check = parser.parse_args().check
    if path.exists() and path.read_text("utf-8") == text:
        return 0
    if is_check:
        print(f"{path} is not what the cases make: run this without --check")
        return 1
    path.write_text(text, "utf-8")
    print(path)
    return 0


def page():
    """The page, as the text of its file."""
    from reader_cases import CASES, MODULES

    num_refused = sum(case.refused for case in CASES)
    parts = [
        OPENING.format(
            num_read=len(CASES) - num_refused, num_refused=num_refused
        )
    ]
    for section in (module.SECTION for module in MODULES):
        cases = [case for case in CASES if case.section == section]
        parts.append(f"## {section}\n")
        rows = ["| what | outcome |", "|---|---|"]
        rows += [f"| {cell(case.kind)} | {outcome(case)} |" for case in cases]
        parts.append("\n".join(rows) + "\n")
    return "\n".join(parts)


def outcome(case):
    text = cell(case.outcome)
    return f"**refused**: “{text}”" if case.refused else text


def cell(text):
    """A text within a cell of a Markdown table, tags as they are written."""
    pieces = text.split("`")
    for index in range(0, len(pieces), 2):  # outside of code
        pieces[index] = pieces[index].replace("<", "&lt;")
    return "`".join(pieces).replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(main())
