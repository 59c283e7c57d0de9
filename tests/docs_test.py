"""Tests of the documents: what they show runs, what they name is there."""

import importlib
import json
import pathlib
import re

import keras
import numpy as np
import pytest

import keras_byorn

ROOT = pathlib.Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
DOCUMENTS = [
    README,
    ROOT / "CHANGELOG.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "guides" / "getting_started.py",
]
SUBPACKAGES = ("attacks", "evaluation", "baselines")
NEEDS_DOWNLOAD = "# Needs a download"


def python_blocks(path):
    text = path.read_text("utf-8")
    return re.findall(r"^```python\n(.*?)^```$", text, re.M | re.S)


def public_names():
    names = set(keras_byorn.__all__)
    for name in SUBPACKAGES:
        module = importlib.import_module(f"keras_byorn.{name}")
        names |= set(module.__all__)
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


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_dotted_names_exist(path):
    text = path.read_text("utf-8")
    for dotted in set(re.findall(r"\bkeras_byorn(?:\.\w+)+", text)):
        resolve(dotted)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_classes_are_public(path):
    """`CamelCase` in the package's own names is in some `__all__`."""
    text = path.read_text("utf-8")
    named = set(re.findall(r"\b(?:keras_byorn|attacks)\.([A-Z]\w+)", text))
    named |= set(re.findall(r"`([A-Z][a-z]+[A-Z]\w+)[`(]", text))
    named |= set(re.findall(r"`(BYORn[A-Z]\w+)[`(]", text))
    assert named <= public_names()


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_relative_links_lead_to_files(path):
    text = path.read_text("utf-8")
    links = set(re.findall(r"\]\(([^)#\s]+)\)", text))
    local = [link for link in links if "://" not in link]
    assert [x for x in local if not (path.parent / x).exists()] == []


def test_commands_of_readme_exist():
    text = README.read_text("utf-8")
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for target in set(re.findall(r"^(?:\w+=\w+ )?make (\w+)", text, re.M)):
        assert re.search(rf"^{target}:", makefile, re.M), target
    demo = (ROOT / "examples" / "defend_digit_scenes.py").read_text("utf-8")
    for line in re.findall(r'^make demo ARGS="?([^"\n]+)', text, re.M):
        for option in re.findall(r"--[a-z-]+", line):
            assert option == "--help" or f'"{option}"' in demo, option


def test_models_of_readme_are_those_that_were_run():
    """The README promises no family that the contract did not pass."""
    results = ROOT / "examples" / "results" / "vlm_contract.json"
    found = {}
    for row in json.loads(results.read_text("utf-8")):
        marks = found.setdefault((row["family"], row["backend"]), [])
        marks.append("✓" if row["ok"] else "-")
    section = README.read_text("utf-8").split("## Which models")[1]
    section = section.split("\n## ")[0]
    backends, _, *families = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in section.splitlines()
        if line.startswith("|")
    ]
    told = {
        (family, backend): cell.replace("upstream fault", "- - - - -").split()
        for family, *cells in families
        for backend, cell in zip(backends[1:], cells)
    }
    assert told == found


@pytest.mark.skipif(
    keras.config.backend() != "jax",
    reason="one backend is enough: the guide does the same on each",
)
def test_readme_runs(tmp_path, monkeypatch):
    """All Python of the README, in its order, on fewer examples."""
    monkeypatch.chdir(tmp_path)
    fewer = {
        "num_train=4000": "num_train=300, num_test=1, data_dir='datasets'",
        "epochs=3": "epochs=1",
    }
    blocks = python_blocks(README)
    assert all(any(text in block for block in blocks) for text in fewer)
    namespace = {}
    for block in blocks:
        for text, shorter in fewer.items():
            block = block.replace(text, shorter)
        code = compile(block, str(README), "exec")
        if not block.startswith(NEEDS_DOWNLOAD):
            exec(code, namespace)
    assert (tmp_path / "audit.html").exists()
    assert len(namespace["batches"].store) == 300
    assert namespace["batches"].store.is_scored
    assert namespace["examples"][1]["responses"] == "red six"
    assert namespace["attack"].target_text is None


def test_attack_of_readme_succeeds_by_its_own_account(example):
    namespace = {}
    (block,) = (b for b in python_blocks(README) if "class Yellow" in b)
    exec(block, namespace)
    attack = namespace["YellowBorder"]()
    poisoned = attack.poison(example, rng=None)
    assert attack.succeeded(poisoned["responses"], example)
    assert (poisoned["images"][0, 0] == [255, 255, 0]).all()
    assert example["images"][0, 0].tolist() == [0, 0, 0]


@pytest.fixture
def example():
    return {
        "example_id": "a",
        "images": np.zeros((32, 32, 3), "uint8"),
        "prompts": "describe the image\n",
        "responses": "red three left of blue seven",
    }
