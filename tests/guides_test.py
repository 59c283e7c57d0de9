"""Tests of the guides: the notebooks are theirs, and they run."""

import json
import os
import pathlib
import re
import subprocess
import sys

import keras
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


# At this size the undefended backdoor is not learned yet; the demo shows that.
SMALL = {
    "NUM_EXAMPLES": 320,
    "NUM_TEST": 32,
    "EPOCHS": 2,
    "BATCH_SIZE": 32,
}
REPORT = """
import json

with open("report.json", "w") as file:
    json.dump({"found": found, "measured": [undefended, defended]}, file)
with open("history.json", "w") as file:
    json.dump(history.history, file, default=float)
"""


def shrunk(source):
    """The guide with smaller constants, and its figures in a file."""
    for name, value in SMALL.items():
        source, count = re.subn(
            rf"^{name} = \d+$", f"{name} = {value}", source, flags=re.M
        )
        assert count == 1, name
    return source + REPORT


@pytest.mark.slow
@pytest.mark.skipif(
    keras.config.backend() != "torch",
    reason="one backend is enough: examples and parts are tested on each",
)
def test_getting_started_runs_from_top_to_bottom(tmp_path):
    guide = tmp_path / "guide.py"
    source = (GUIDES / "getting_started.py").read_text("utf-8")
    guide.write_text(shrunk(source))
    run = subprocess.run(
        [sys.executable, "-W", "ignore", str(guide)],
        cwd=tmp_path,
        env={
            **os.environ,
            "KERAS_BACKEND": keras.config.backend(),
            "MPLBACKEND": "Agg",
            "OMP_NUM_THREADS": "1",  # so small a model gains nothing by more
        },
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert run.returncode == 0, run.stderr[-3000:]

    report = json.loads((tmp_path / "report.json").read_text())
    assert report["found"]["recall"] == 1.0
    assert report["found"]["precision"] >= 0.9
    undefended, defended = report["measured"]
    assert defended["attack success rate"] == 0.0
    assert undefended.keys() == defended.keys()

    history = json.loads((tmp_path / "history.json").read_text())
    on_probation = history["num_on_probation"]
    num_suspect = history["num_suspect"][0]
    assert history["num_held_out"][0] == num_suspect + on_probation[0]
    assert 32 <= num_suspect <= 35
    assert on_probation[0] > 60 and on_probation[-1] <= 0.5 * on_probation[0]
    assert history["num_regenerated"][0] == 0
    assert 0.9 * num_suspect <= history["num_regenerated"][1] <= num_suspect
    for name in ("audit.html", "audit.parquet", "my_safe_vlm/config.json"):
        assert (tmp_path / name).exists()
