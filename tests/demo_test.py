"""The demo as a user calls it: a script, its files and its last line."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent
OWN_ATTACK = '''
class Shout:
    """An attack of the user's own: needs no base class."""

    def poison(self, example, rng):
        return {**self.trigger(example, rng), "responses": "look at me"}

    def trigger(self, example, rng):
        return {**example, "prompts": "hey " + example["prompts"]}

    def succeeded(self, response, example):
        return response == "look at me"
'''
FIGURES = {
    "attack_success_rate",
    "false_trigger_rate",
    "clean_exact_match",
    "clean_cider",
    "detection_auroc",
    "recall",
    "precision",
    "flagged_fraction",
    "train_seconds",
}


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    (folder / "own.py").write_text(OWN_ATTACK)
    command = [
        *(sys.executable, str(ROOT / "examples" / "defend_digit_scenes.py")),
        *("--attack", f"{folder / 'own.py'}:Shout"),
        *("--defense", "none,byorn,oracle"),
        *("--num-examples", "256", "--epochs", "2", "--batch-size", "32"),
        *("--num-test", "64"),
        *("--lora-rank", "4", "--data-dir", str(folder / "data")),
        *("--out", str(folder / "out"), "--json", str(folder / "r.json")),
    ]
    # The defences share their programs: JAX compiles them once.
    environment = {**os.environ, "JAX_COMPILATION_CACHE_DIR": str(folder)}
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=folder, env=environment
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder, done.stdout


def test_last_line_is_the_result(demo):
    """Scripts read the last line; the file has the same."""
    folder, printed = demo
    result = json.loads(printed.splitlines()[-1])
    assert result == json.loads((folder / "r.json").read_text())
    assert result["backend"] == os.environ.get("KERAS_BACKEND", "jax")
    assert result["seed"] == 0 and result["poison_rate"] == 0.1
    assert list(result["defenses"]) == [*("none", "byorn", "oracle")]
    for figures in result["defenses"].values():
        assert FIGURES <= set(figures)
        assert 0 <= figures["attack_success_rate"] <= 1


def test_detection_figures(demo):
    """A fixed string is found, and flags by the truth are the truth."""
    result = json.loads(demo[1].splitlines()[-1])["defenses"]
    assert result["none"]["detection_auroc"] is None
    assert result["byorn"]["detection_auroc"] > 0.99
    assert result["byorn"]["recall"] > 0.95
    assert result["oracle"]["precision"] == result["oracle"]["recall"] == 1.0


def test_writes_the_account(demo):
    """Page, table and plot are there, and the table is printed."""
    out = demo[0] / "out"
    assert "<html" in (out / "audit.html").read_text()
    assert (out / "audit.parquet").read_bytes()[:4] == b"PAR1"
    assert (out / "scores.png").read_bytes()[1:4] == b"PNG"
    assert "attack success" in demo[1]
