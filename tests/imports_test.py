"""Who may import whom: the rules that keep the house in order."""

import ast
import pathlib

import pytest

import keras_byorn

ROOT = pathlib.Path(keras_byorn.__file__).parent
DEFENCE = ("data", "vlm", "plausibility", "targets", "training", "audit")
BESIDE = ("attacks", "evaluation", "baselines")
BACKENDS = ("jax", "tensorflow", "torch")


def modules(*folders):
    found = [p for f in folders for p in sorted((ROOT / f).rglob("*.py"))]
    assert len(found) > len(folders)
    return found


def imported(path):
    """Full names of what a module imports, at its top or inside."""
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


@pytest.mark.parametrize("path", modules(*DEFENCE), ids=name_of)
def test_the_defence_knows_no_attack(path):
    """Nor evaluation nor baselines: ground truth must be out of reach."""
    forbidden = tuple(f"keras_byorn.{name}" for name in BESIDE)
    reached = [name for name in imported(path) if name.startswith(forbidden)]
    assert reached == []


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
    assert not [n for n in names if n.startswith(("keras_byorn.attacks",))]


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


ORDER = ("data", "vlm", "plausibility", "targets", "training", "audit")


@pytest.mark.parametrize("path", modules(*ORDER[:-1]), ids=name_of)
def test_a_module_imports_only_from_what_stands_before_it(path):
    """The way of the data has one direction."""
    here = path.relative_to(ROOT).parts[0]
    later = ORDER[ORDER.index(here) + 1 :]
    reached = [
        name
        for name in imported(path)
        if name.startswith(tuple(f"keras_byorn.{other}" for other in later))
    ]
    if path.name == "callback.py":  # `BYORnCallback.audit` is the way out
        reached = [n for n in reached if not n.startswith("keras_byorn.audit")]
    assert reached == []
