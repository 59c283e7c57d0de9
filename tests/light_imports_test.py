"""What is heavy, or optional, is loaded when it is used."""

import ast
import pathlib
import re
import subprocess
import sys

import pytest

import keras_byorn

ROOT = pathlib.Path(keras_byorn.__file__).parent
HEAVY = ("sklearn", "scipy", "pyarrow", "pandas", "datasets", "matplotlib")
HEAVY += ("tensorflow_datasets", "rouge_score", "sentencepiece")
# The demo's own data set is a TFDS builder; nothing imports it by itself.
OF_THE_DEMO = ("digit_scenes.py", "tfds_parquet.py")
# Imported where they are used, and not with the package.
BY_THEMSELVES = (*OF_THE_DEMO, "detection_files.py", "image_triggers.py")


@pytest.mark.parametrize(
    "path",
    [p for p in sorted(ROOT.rglob("*.py")) if p.name not in BY_THEMSELVES],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_nothing_heavy_is_imported_at_the_top(path):
    """`Examples` of one's own arrays wants none of it."""
    names = []
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names.append(node.module or "")
    assert [n for n in names if n.split(".")[0] in HEAVY] == []


def test_importing_the_package_loads_nothing_heavy():
    """Keras loads some of it itself where it is installed: taken out here."""
    code = (
        "import sys, keras, keras_hub\n"
        f"heavy = {HEAVY!r}\n"
        "for name in list(sys.modules):\n"
        "    if name.split('.')[0] in heavy: del sys.modules[name]\n"
        "import keras_byorn\n"
        "assert 'keras_byorn.detection.detector' in sys.modules\n"
        "print(sorted(n for n in sys.modules if n.split('.')[0] in heavy))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=ROOT.parent,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_demo_is_imported_by_no_other_module():
    """Nor by the package itself."""
    names = "|".join(name[:-3] for name in OF_THE_DEMO)
    imported = re.compile(rf"^(from|import) keras_byorn.data.({names})\b", re.M)
    importers = {
        path.name
        for path in ROOT.rglob("*.py")
        if imported.search(path.read_text("utf-8"))
    }
    assert importers <= {"digit_scenes.py"}
