"""Only `vlm/keras_internals.py` reads private names of Keras and KerasHub."""

import ast
import pathlib

import pytest

import keras_byorn

ROOT = pathlib.Path(keras_byorn.__file__).parent
INTERNALS = ROOT / "vlm" / "keras_internals.py"
MODULES = [path for path in sorted(ROOT.rglob("*.py")) if path != INTERNALS]
# Public methods of a named tuple, with an underscore against name clashes.
NAMED_TUPLE = {"_asdict", "_fields", "_make", "_replace"}
# Of other packages: the writer of TFDS that is replaced there has this name.
OF_OTHERS = {"data/tfds_parquet.py": {"_schema"}}
BY_NAME = {"getattr", "hasattr", "setattr", "delattr"}


def is_private(name):
    return name.startswith("_") and not name.startswith("__")


def is_own(node):
    return isinstance(node, ast.Name) and node.id in ("self", "cls")


def defined_in(tree):
    """Names that a module defines: functions, classes, own attributes."""
    definitions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    for node in ast.walk(tree):
        if isinstance(node, definitions):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and is_own(node.value):
            if isinstance(node.ctx, ast.Store):
                yield node.attr


def read_in(tree):
    """Private names that a module reads, each with whether of `self`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            yield node.attr, is_own(node.value), node.lineno
        elif isinstance(node, ast.Call) and len(node.args) > 1:
            name = node.args[1]
            if (
                getattr(node.func, "id", None) in BY_NAME
                and isinstance(name, ast.Constant)
                and is_private(str(name.value))
            ):
                yield name.value, is_own(node.args[0]), node.lineno


def foreign_names(source, package_names):
    """Lists private names that are read, and not defined by the package.

    A module may read the private names that it defines, of any object, and
    `self` those that any module of the package defines: a base class may.
    """
    tree = ast.parse(source)
    allowed = NAMED_TUPLE | set(defined_in(tree))
    return [
        f"line {line}: {name}"
        for name, of_self, line in read_in(tree)
        if name not in allowed and not (of_self and name in package_names)
    ]


@pytest.fixture(scope="module")
def package_names():
    trees = [ast.parse(path.read_text("utf-8")) for path in MODULES]
    return {name for tree in trees for name in defined_in(tree)}


@pytest.mark.parametrize(
    "path", MODULES, ids=lambda path: str(path.relative_to(ROOT))
)
def test_no_private_name_of_another_package_is_read(path, package_names):
    """A release of Keras that renames one changes one file of this package."""
    others = OF_OTHERS.get(path.relative_to(ROOT).as_posix(), set())
    source = path.read_text("utf-8")
    assert foreign_names(source, package_names | others) == []


@pytest.mark.parametrize(
    "path", MODULES, ids=lambda path: str(path.relative_to(ROOT))
)
def test_no_module_of_another_packages_source_is_imported(path):
    """`keras.src` and `keras_hub.src` are private as a whole."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        names = [alias.name for alias in getattr(node, "names", [])]
        if isinstance(node, ast.ImportFrom):
            names.append(node.module or "")
        elif not isinstance(node, ast.Import):
            continue
        assert not [name for name in names if ".src" in name]


def test_private_names_are_found():
    """The checks above would pass if nothing was found at all."""
    source = """
class Own(Base):
    def __init__(self, layer):
        self._layer = layer
        self._inherited()

    def same(self, other):
        return other._layer is self._layer and other.__dict__
        return layer._flatten_layers(), self._tracker, self.task._losses
        return hasattr(layer, "_lora_rank"), scores._asdict()
"""
    found = foreign_names(source, {"_inherited"})
    names = [name.split(": ")[1] for name in found]
    assert sorted(names) == [
        "_flatten_layers",
        "_lora_rank",
        "_losses",
        "_tracker",
    ]
