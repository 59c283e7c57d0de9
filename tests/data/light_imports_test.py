"""Modules of data load what is heavy, or optional, when it is used."""

import ast
import pathlib
import re

import pytest

from keras_byorn import data

ROOT = pathlib.Path(data.__file__).parent
HEAVY = ("sklearn", "scipy", "pyarrow", "pandas", "datasets", "matplotlib")
HEAVY += ("tensorflow_datasets",)
# The demo's own data set is a TFDS builder; nothing imports it by itself.
OF_THE_DEMO = ("digit_scenes.py", "tfds_parquet.py")


@pytest.mark.parametrize(
    "path",
    [p for p in sorted(ROOT.rglob("*.py")) if p.name not in OF_THE_DEMO],
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


def test_the_demo_is_imported_by_no_other_module():
    """Nor by the package itself."""
    names = "|".join(name[:-3] for name in OF_THE_DEMO)
    imported = re.compile(rf"^(from|import) keras_byorn.data.({names})\b", re.M)
    importers = {
        path.name
        for path in ROOT.parent.rglob("*.py")
        if imported.search(path.read_text("utf-8"))
    }
    assert importers <= {"digit_scenes.py"}
