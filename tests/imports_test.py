"""Rules of import that keep the house in order."""

import ast
import pathlib

import pytest

import keras_byorn

ROOT = pathlib.Path(keras_byorn.__file__).parent
# `vlm` speaks to KerasHub and knows nothing of the rest; `audit` renders rows
# and examples, and so detections and trainings can both be accounted for.
ORDER = ("vlm", "data", "audit", "detection", "training", "cli")
BESIDE = ("attacks", "evaluation", "baselines")
BACKENDS = ("jax", "tensorflow", "torch")
MAX_MODULE, MAX_FUNCTION = 400, 60
OPENINGS = ("What", "Which", "Where", "How", "Who", "Says", "Tells", "The same")


def modules(*folders):
    found = [p for f in folders for p in sorted((ROOT / f).rglob("*.py"))]
    assert len(found) > len(folders)
    return found


def imported(path):
    """Full names of all that a module imports, at its top or inside."""
    package = ["keras_byorn", *path.relative_to(ROOT).parts[:-1]]
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1]
            parent = ".".join([*base, node.module or ""]).strip(".")
            parent = parent if node.level else node.module
            yield parent
            yield from (f"{parent}.{alias.name}" for alias in node.names)


def name_of(path):
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", modules(*ORDER), ids=name_of)
def test_a_module_imports_only_from_earlier_folders(path):
    """The way of the data has one direction, inside functions as well."""
    here = path.relative_to(ROOT).parts[0]
    later = (*ORDER[ORDER.index(here) + 1 :], *BESIDE)
    later = tuple(f"keras_byorn.{folder}" for folder in later)
    assert [name for name in imported(path) if name.startswith(later)] == []


def test_no_module_imports_itself_in_a_circle():
    """A circle within a folder hides as well as one between folders."""
    known = {module_of(path): path for path in modules(".")}
    edges = {
        name: {other for other in imported(path) if other in known} - {name}
        for name, path in known.items()
    }
    # Importing a folder runs its `__init__`, which may import its modules.
    edges = {
        name: {o for o in others if not name.startswith(f"{o}.")}
        for name, others in edges.items()
    }
    while edges:
        leaves = {name for name, others in edges.items() if not others}
        assert leaves, f"a circle among {sorted(edges)}"
        edges = {
            name: others - leaves
            for name, others in edges.items()
            if name not in leaves
        }


def module_of(path):
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@pytest.mark.parametrize("path", modules("."), ids=name_of)
def test_only_train_steps_import_a_backend(path):
    """Everything else is written once, in `keras.ops`."""
    found = {
        name.split(".")[0]
        for name in imported(path)
        if name.split(".")[0] in BACKENDS
    }
    allowed = {
        pathlib.Path("training", f"train_step_{backend}.py"): {backend}
        for backend in BACKENDS
    }
    # Not a backend there: `keras_hub.metrics` takes TensorFlow strings.
    allowed[pathlib.Path("evaluation", "clean_quality.py")] = {"tensorflow"}
    assert found == allowed.get(path.relative_to(ROOT), set())


def test_the_public_api_reaches_no_attack():
    """`import keras_byorn` alone must not load simulators."""
    names = list(imported(ROOT / "__init__.py"))
    assert "keras_byorn.training.model.BYORnModel" in names
    beside = tuple(f"keras_byorn.{name}" for name in BESIDE)
    assert not [name for name in names if name.startswith(beside)]


def test_relative_imports_are_seen(tmp_path, monkeypatch):
    """The checks above would be blind if a relative import hid a name."""
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    path = tmp_path / "data" / "module.py"
    path.parent.mkdir()
    path.write_text("def f():\n    from ..attacks import x\nimport jax.numpy")
    assert set(imported(path)) == {
        "jax.numpy",
        "keras_byorn.attacks",
        "keras_byorn.attacks.x",
    }


@pytest.mark.parametrize("path", modules("."), ids=name_of)
def test_modules_and_functions_are_small(path):
    """One idea a file, small functions."""
    source = path.read_text("utf-8")
    assert len(source.splitlines()) <= MAX_MODULE
    long = {
        node.name: node.end_lineno - node.lineno + 1
        for node in ast.walk(ast.parse(source))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and node.end_lineno - node.lineno >= MAX_FUNCTION
    }
    assert long == {}


def test_docstrings_open_with_a_verb_or_a_noun():
    """Fewer than one in a hundred opens with a question word."""
    docstrings = [
        doc
        for path in modules(".")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))
        and (doc := ast.get_docstring(node))
    ]
    found = [doc for doc in docstrings if doc.startswith(OPENINGS)]
    assert len(found) < 0.01 * len(docstrings), found


def test_every_public_name_is_there():
    """`__all__` names what `keras_byorn` offers, each with a docstring."""
    for name in keras_byorn.__all__:
        assert getattr(keras_byorn, name).__doc__, name
