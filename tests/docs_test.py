"""Tests of the documents: what they show runs, what they name is there."""

import importlib
import json
import os
import pathlib
import re

import keras
import keras_hub
import numpy as np
import pytest

import keras_byorn

ROOT = pathlib.Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
PAGES = sorted((ROOT / "docs").glob("*.md"))
CHANGELOG = ROOT / "CHANGELOG.md"
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
GUIDE = ROOT / "guides" / "getting_started.py"
DOCUMENTS = [README, *PAGES, CHANGELOG, CONTRIBUTING, GUIDE]
RESULTS = ROOT / "benchmarks" / "demo_grid" / "results" / "demo_grid.md"
PUBLIC = (
    "attacks",
    "attacks.adaptive",
    "baselines",
    "detection.decisions",
    "detection.scorers",
    "evaluation",
)
OF_KERAS = (
    keras.callbacks,
    keras.layers,
    keras.utils,
    keras_hub.layers,
    keras_hub.models,
)
MAX_README = 180
NEEDS_DOWNLOAD = "# Needs a download"
# The README, on fewer examples.
FEWER = {
    "num_train=4000": "num_train=300, num_test=1, data_dir='datasets'",
    "epochs=3": "epochs=1",
}
# PyTorch compiles nothing, and is the fastest where a run is short.
one_backend = pytest.mark.skipif(
    keras.config.backend() != "torch",
    reason="one backend is enough: the guide does the same on each",
)
by_document = pytest.mark.parametrize(
    "path", DOCUMENTS, ids=lambda path: path.name
)


def python_blocks(path):
    """The Python of a document, those in lists without their indentation."""
    text = path.read_text("utf-8")
    blocks = re.findall(r"^( *)```python\n(.*?)^ *```$", text, re.M | re.S)
    return [re.sub(rf"^{indent}", "", b, flags=re.M) for indent, b in blocks]


def run_blocks(path, namespace):
    """Runs the Python of a document, in its order."""
    for block in python_blocks(path):
        if block.startswith(NEEDS_DOWNLOAD):
            compile(block, str(path), "exec")
            continue
        for text, shorter in FEWER.items():
            block = block.replace(text, shorter)
        exec(compile(block, str(path), "exec"), namespace)


def current(path):
    """A document without the old names that a changelog tells of."""
    text = path.read_text("utf-8")
    if path == CHANGELOG:
        text = re.sub(
            r"^### Changed$.*?(?=^##|\Z)", "", text, flags=re.M | re.S
        )
    return text


def public_names():
    names = set(keras_byorn.__all__)
    for name in PUBLIC:
        names |= set(importlib.import_module(f"keras_byorn.{name}").__all__)
    return names


def known_names(path):
    """Classes that a document may name: the map of the code names all."""
    names = public_names()
    if path in (CONTRIBUTING, ROOT / "docs" / "families.md"):
        for module in (ROOT / "keras_byorn").rglob("*.py"):
            names |= set(re.findall(r"^class (\w+)", module.read_text(), re.M))
    return names


def resolve(dotted):
    """Imports as much of a dotted name as is a module, looks up the rest."""
    parts = dotted.split(".")
    for stop in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:stop]))
        except ModuleNotFoundError:
            continue
        for part in parts[stop:]:
            found = getattr(found, part)
        return found
    raise ModuleNotFoundError(dotted)


def anchors(path):
    """The anchors of a Markdown file's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", path.read_text("utf-8"), re.M)
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in headings
    }


@by_document
def test_dotted_names_exist(path):
    for dotted in set(re.findall(r"\bkeras_byorn(?:\.\w+)+", current(path))):
        resolve(dotted)


@by_document
def test_classes_are_public(path):
    """`CamelCase` is of this package, or of Keras."""
    text = current(path)
    named = set(re.findall(r"\b(?:keras_byorn|attacks)\.([A-Z]\w+)", text))
    named |= set(re.findall(r"`([A-Z][a-z]+[A-Z]\w+)[`(]", text))
    named |= set(re.findall(r"`(BYORn[A-Z]\w+)[`(]", text))
    unknown = named - known_names(path)
    assert [
        n for n in unknown if not any(hasattr(m, n) for m in OF_KERAS)
    ] == []


@by_document
def test_links_lead_to_files_and_headings(path):
    links = re.findall(r"\]\(([^)\s]+)\)", path.read_text("utf-8"))
    for link in {link for link in links if "://" not in link}:
        name, _, anchor = link.partition("#")
        target = path.parent / name if name else path
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@by_document
def test_paths_and_commands_exist(path):
    """Files in code, `python` commands, and targets of make."""
    text = current(path)
    named = re.findall(r"`(?:python )?((?:\w+/)+\w+\.(?:py|md))[` ]", text)
    named += re.findall(r"^ *python (\S+\.py)", text, re.M)
    places = (ROOT, ROOT / "keras_byorn")
    assert [n for n in named if not any((p / n).exists() for p in places)] == []
    makefile = (ROOT / "Makefile").read_text("utf-8")
    targets = re.findall(r"^(?:\w+=\w+ )?make ([\w-]+)", text, re.M)
    for target in {*targets, *re.findall(r"`make ([\w-]+)", text)}:
        assert re.search(rf"^{target}:", makefile, re.M), target
    demo = (ROOT / "examples" / "defend_digit_scenes.py").read_text("utf-8")
    for line in re.findall(r'^make demo ARGS="?([^"\n]+)', text, re.M):
        for option in re.findall(r"--[a-z-]+", line):
            assert option == "--help" or f'"{option}"' in demo, option


def test_readme_is_short():
    assert len(README.read_text("utf-8").splitlines()) <= MAX_README


def test_figures_are_those_of_the_benchmark():
    """Of the table of attacks; nothing in it is typed by hand."""
    committed = RESULTS.read_text("utf-8").splitlines()
    for path in (README, ROOT / "docs" / "results.md"):
        table = path.read_text("utf-8").split("| case |")[1].split("\n\n")[0]
        rows = table.splitlines()[2:]
        assert len(rows) == 7
        assert [row for row in rows if row not in committed] == []


def test_models_are_those_that_were_run():
    """No family is promised that the contract did not pass."""
    folder = ROOT / "benchmarks" / "vlm_contract" / "results"
    found = {}
    for row in json.loads((folder / "vlm_contract.json").read_text("utf-8")):
        marks = found.setdefault((row["family"], row["backend"]), [])
        marks.append("✓" if row["ok"] else "-")
    page = (ROOT / "docs" / "models.md").read_text("utf-8")
    backends, _, *families = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in page.splitlines()
        if line.startswith("|")
    ]
    told = {
        (family, backend): cell.replace("upstream fault", "- - - - -").split()
        for family, *cells in families
        for backend, cell in zip(backends[1:], cells)
    }
    assert told == found


@pytest.fixture(scope="module")
def readme(tmp_path_factory):
    """A folder in which the README ran, and the names that it left."""
    assert all(text in README.read_text("utf-8") for text in FEWER)
    namespace, before = {}, os.getcwd()
    folder = tmp_path_factory.mktemp("readme")
    os.chdir(folder)
    try:
        run_blocks(README, namespace)
    finally:
        os.chdir(before)
    return folder, namespace


@one_backend
@pytest.mark.slow
def test_readme_runs(readme):
    folder, names = readme
    for name in ("audit.html", "report.html", "detection"):
        assert (folder / name).exists()
    assert len(names["batches"].store) == 300
    assert names["batches"].store.is_scored
    suspects = names["detection"].verdicts == "suspect"
    ids = np.array(names["examples"].example_ids)
    assert set(ids[suspects]) == names["poisoned_ids"]


@one_backend
@pytest.mark.slow
@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_page_runs(readme, path, monkeypatch):
    """All Python of a page, after that of the README."""
    folder, names = readme
    names = dict(names)
    monkeypatch.chdir(folder)
    run_blocks(path, names)
    if path.name == "detection.md":
        suspects = np.flatnonzero(names["judged"].verdicts == "suspect")
        assert suspects[:40].tolist() == list(range(40))
        assert len(suspects) <= 0.01 * 360 + 40  # the tail of the others
    if path.name == "data.md":
        assert names["captions"][1]["responses"] == "red six"


def test_attack_of_the_docs_succeeds_by_its_own_account():
    namespace, page = {}, ROOT / "docs" / "attacks.md"
    (block,) = (b for b in python_blocks(page) if "class Yellow" in b)
    exec(block, namespace)
    attack = namespace["YellowBorder"]()
    example = {
        "example_id": "a",
        "images": np.zeros((32, 32, 3), "uint8"),
        "prompts": "describe the image\n",
        "responses": "red three left of blue seven",
    }
    poisoned = attack.poison(example, rng=None)
    assert attack.succeeded(poisoned["responses"], example)
    assert (poisoned["images"][0, 0] == [255, 255, 0]).all()
    assert example["images"][0, 0].tolist() == [0, 0, 0]
