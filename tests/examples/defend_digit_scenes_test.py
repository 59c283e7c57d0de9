"""The demo as a user calls it: a script, its files and its last line."""

import argparse
import json
import os
import subprocess
import sys

import defend_digit_scenes as script
import keras_hub
import pytest

from keras_byorn.data.examples import Examples

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
    "num_masked",
    "train_seconds",
}


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    (folder / "own.py").write_text(OWN_ATTACK)
    command = [
        *(sys.executable, script.__file__),
        *("--attack", f"patch+{folder / 'own.py'}:Shout"),
        *("--defense", "none,byorn,oracle"),
        *("--num-examples", "256", "--epochs", "2", "--batch-size", "32"),
        *("--num-test", "32"),
        *("--lora-rank", "4", "--data-dir", str(folder / "data")),
        *("--suspects", "mask"),
        *("--out", str(folder / "out"), "--json", str(folder / "r.json")),
    ]
    # The defences share their programs: JAX compiles them once.
    environment = {**os.environ, "JAX_COMPILATION_CACHE_DIR": str(folder)}
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=folder, env=environment
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder, done.stdout


@pytest.mark.slow
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
        rates = figures["attack_success_rates"]
        assert [name.split(":")[-1] for name in rates] == ["patch", "Shout"]
        assert figures["attack_success_rate"] == max(rates.values())


@pytest.mark.slow
def test_detection_figures(demo):
    """A fixed string is found, and flags by the truth are the truth."""
    result = json.loads(demo[1].splitlines()[-1])["defenses"]
    assert result["none"]["detection_auroc"] is None
    assert result["byorn"]["detection_auroc"] > 0.99
    assert result["byorn"]["recall"] > 0.95
    assert result["oracle"]["precision"] == result["oracle"]["recall"] == 1.0


@pytest.mark.slow
def test_writes_the_account(demo):
    """Page, table and plot are there, and the table is printed."""
    out = demo[0] / "out"
    assert "<html" in (out / "audit.html").read_text()
    assert (out / "audit.parquet").read_bytes()[:4] == b"PAR1"
    assert (out / "scores.png").read_bytes()[1:4] == b"PNG"
    assert "attack success" in demo[1]


def test_several_attacks_split_the_rate(make_examples):
    """Disjoint examples, equal shares, and a corner for each patch."""
    args = argparse.Namespace(poison_rate=0.2, seed=0)
    clean = Examples(make_examples(40))
    chosen = script.load_attacks("patch+refusal", clean, args)
    poisoned, ids = script.poison(clean, chosen.values(), args)
    responses = [example["responses"] for example in poisoned]
    targets = [attack.target_text for attack in chosen.values()]
    assert [responses.count(target) for target in targets] == [4, 4]
    assert len(ids) == 8
    changed = [
        attack.trigger(clean[0], None)["images"] != clean[0]["images"]
        for attack in chosen.values()
    ]
    assert not (changed[0] & changed[1]).any()
    assert all(mask.any() for mask in changed)


def test_every_attack_has_a_name(make_examples, monkeypatch):
    """`optimised`, too, which fits itself to the preset and clean examples."""
    preset = keras_hub.models.CausalLM
    monkeypatch.setattr(preset, "from_preset", lambda _: "the preset")
    monkeypatch.setattr(
        script.attacks.OptimisedAttack,
        "fit_to",
        lambda vlm, clean, target, epsilon, seed, verbose: (
            (vlm, clean, target, epsilon, seed)
        ),
    )
    args = argparse.Namespace(preset="folder", seed=3, epsilon=0.1)
    clean = make_examples(2)
    found = script.load_attacks("+".join(script.ATTACK_NAMES), clean, args)
    optimised = ["optimised", "optimised_refusal"]
    assert list(found) == [*script.attacks.ATTACKS, *optimised]
    target = "sorry i cannot answer that"
    expected = ("the preset", clean, target, 0.1, 3)
    assert found["optimised_refusal"] == expected


def test_image_token_begins_the_prompt(make_examples):
    """If the preset's family has one; other prompts stay as they are."""
    clean = Examples(make_examples(2))
    assert script.with_image_token(clean, None) is clean
    marked = script.with_image_token(clean, "<start_of_image>")
    assert marked.example_ids == clean.example_ids
    for before, after in zip(clean, marked):
        assert after["prompts"] == "<start_of_image>" + before["prompts"]
        assert after["responses"] == before["responses"]
        assert (after["images"] == before["images"]).all()


@pytest.mark.parametrize("text", ["patch+patch", "no_such", "patch+"])
def test_unclear_attacks_are_refused(text):
    """A name once, and one that is known."""
    with pytest.raises(ValueError, match=r"`--attack` must"):
        script.load_attacks(text, None, None)


@pytest.mark.parametrize(
    "name, detector, teacher",
    [
        ("byorn", "Detector", "ema"),
        ("filter", "Detector", "none"),
        ("random", "RandomFlags", "ema"),
        ("oracle", "OracleFlags", "ema"),
        ("clean_only", "OracleFlags", "none"),
    ],
)
def test_defences_by_name(name, detector, teacher):
    """Each with the options of the command line."""
    args = script.parse_arguments(
        ["--threshold", "0.4", "--scorer", "regret", "--seed", "3"]
        + ["--suspects", "mask", "--sampler", "random"]
    )
    defence = script.make_defence(name, None, {"a"}, args)
    assert type(defence.detector).__name__ == detector
    assert repr(defence.detector.decision).startswith(
        "FlagFraction(flag_fraction=0.4"
    )
    assert repr(defence.detector.scorer) == "Regret()"
    assert defence.detector.seed == defence.seed == 3
    assert (defence.suspects, defence.sampler) == ("mask", "random")
    assert defence.teacher == teacher
    if detector == "OracleFlags":
        assert defence.detector.poisoned_ids == {"a"}


def test_flags_by_other_means_are_all_replaced():
    """Clusters are of what a defence finds; unless another way is asked for."""
    args = script.parse_arguments([])
    treatments = {
        name: script.make_defence(name, None, {"a"}, args).suspects
        for name in ("byorn", "random", "oracle", "paper")
    }
    assert treatments.pop("byorn") == "cluster"
    assert set(treatments.values()) == {"replace"}


def test_none_is_no_defence():
    """And the paper's has its own settings."""
    args = script.parse_arguments([])
    assert script.make_defence("none", None, set(), args) is None
    paper = script.make_defence("paper", None, set(), args)
    assert paper.sampler == "random" and not paper.review


def test_decisions_by_name(make_examples):
    """A conformal one trusts clean examples alone."""
    train = Examples(make_examples(60))
    poisoned = {train.example_ids[0]}
    decision = script.make_decision("conformal", train, poisoned)
    assert poisoned.isdisjoint(decision.trusted_ids)
    mixture = script.make_decision("mixture", train, poisoned)
    assert repr(mixture).startswith("MixtureThreshold")
