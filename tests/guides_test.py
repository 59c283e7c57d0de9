"""Tests of the guides: the notebooks are theirs, and they run."""

import os
import pathlib
import re
import subprocess
import sys

import nbformat
import pytest

GUIDES = pathlib.Path(__file__).resolve().parent.parent / "guides"
sys.path.insert(0, str(GUIDES))

import make_notebooks  # noqa: E402


@pytest.mark.parametrize(
    "guide", make_notebooks.guides(), ids=lambda path: path.name
)
def test_notebook_is_what_the_guide_makes(guide):
    """Run `make notebooks` where this fails."""
    assert make_notebooks.is_fresh(guide)


def test_cells_alternate_as_the_blocks_of_the_guide(tmp_path):
    guide = tmp_path / "small.py"
    guide.write_text(
        "# ruff: noqa\n"
        '"""\nTitle: A\nAuthor: B\nDate created: C\nLast modified: D\n'
        'Description: E\nAccelerator: None\n"""\n\n'
        '"""\n## Text\n\nmore\n"""\n\n'
        'x = """not\na block"""\n\n\ndef f():\n    """No block."""\n\n\n'
        '"""\nend\n"""\n'
    )
    notebook = nbformat.reads(make_notebooks.notebook_text(guide), 4)
    kinds = [cell.cell_type for cell in notebook.cells]
    assert kinds == [
        "markdown",  # badge
        "markdown",  # title
        "code",  # install
        "markdown",
        "code",
        "markdown",
    ]
    assert "ipynb/small.ipynb" in notebook.cells[0].source
    assert notebook.cells[1].source.startswith("# A\n\n**Author:** B<br>\n")
    assert notebook.cells[3].source == "## Text\n\nmore"
    assert notebook.cells[4].source == (
        'x = """not\na block"""\n\n\ndef f():\n    """No block."""'
    )
    assert notebook.cells[5].source == "end"


def test_header_must_be_whole(tmp_path):
    guide = tmp_path / "small.py"
    guide.write_text('"""\nTitle: A\n"""\n')
    with pytest.raises(ValueError, match="Missing: .'Author', 'Date"):
        make_notebooks.notebook_text(guide)


def test_check_exits_1_where_a_notebook_differs(tmp_path):
    """In a copy, so that the guide itself stays as it is."""
    for name in ("make_notebooks.py", "getting_started.py"):
        (tmp_path / name).write_text((GUIDES / name).read_text("utf-8"))

    def run(*arguments):
        command = [sys.executable, str(tmp_path / "make_notebooks.py")]
        return subprocess.run([*command, *arguments]).returncode

    assert run("--check") == 1
    assert run() == 0
    assert run("--check") == 0
    with open(tmp_path / "getting_started.py", "a") as guide:
        guide.write("\nprint()\n")
    assert run("--check") == 1


# What the guide is shrunk to here, and what it writes down to look at.
SMALL = {
    "NUM_EXAMPLES": 600,
    "NUM_TEST": 64,
    "EPOCHS": 2,
    "BATCH_SIZE": 32,
}
REPORT = """
import json, pathlib
pathlib.Path("report.json").write_text(json.dumps({
    "undefended": undefended,
    "defended": defended,
    "found": found,
    "logs": {name: values for name, values in history.history.items()},
}))
"""
