"""The benchmark: what it computes, and one run of it, as small as can be."""

import importlib.util
import json
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest

EXAMPLES = pathlib.Path(__file__).parent.parent / "examples"
SHRUNKEN = {
    "size": "pali_gemma_3b",
    "shrink": True,
    "tuning": "lora",
    "num_examples": 24,
    "batch_size": 8,
    "epochs": 2,
}


def load(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses look for it
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def script():
    return load("benchmark_overhead")


@pytest.fixture(scope="module")
def arm():
    return load("overhead_arm")


# == Sizes and data ==


def test_scaled_has_the_proportions_of_the_large_model(arm):
    """Head, decoder and vision tower cost 0.53 : 2.0 : 0.41, plainly."""
    flops = arm.forward_flops(arm.SCALED, num_text=64)
    found = np.array([flops[name] for name in ("head", "decoder", "vision")])
    np.testing.assert_allclose(found / found[0] * 0.53, [0.53, 2.0, 0.41], 0.1)
    assert (arm.SCALED["image_size"] // arm.SCALED["vit_patch_size"]) ** 2 == 64
    vlm = arm.new_task({"size": "scaled"})
    assert 5e6 < vlm.count_params() < 7e6
    assert vlm.preprocessor.sequence_length == 64


def test_pali_gemma_3b_is_the_real_one(arm):
    """Parameters in the head, the decoder and the tower, in billions."""
    c = arm.PALI_GEMMA_3B
    one_more = arm.forward_flops({**c, "image_size": 0}, num_text=1)
    np.testing.assert_allclose(one_more["head"] / 2e9, 0.527, rtol=0.01)
    np.testing.assert_allclose(one_more["decoder"] / 2e9, 1.98, rtol=0.01)
    whole = arm.forward_flops(c, num_text=16)
    np.testing.assert_allclose(whole["vision"] / 256 / 2e9, 0.414, rtol=0.06)
    share = whole["vision"] / whole["head"] * 0.53
    np.testing.assert_allclose(share, 0.41, rtol=0.1)


def test_flops_by_hand(arm):
    """A model so small that each product can be counted."""
    config = {
        "vocabulary_size": 7,
        "image_size": 4,
        "num_layers": 1,
        "num_query_heads": 2,
        "num_key_value_heads": 1,
        "hidden_dim": 3,
        "intermediate_dim": 10,
        "head_dim": 4,
        "vit_patch_size": 2,
        "vit_hidden_dim": 6,
        "vit_num_layers": 1,
        "vit_intermediate_dim": 5,
    }
    flops = arm.forward_flops(config, num_text=2)  # and 4 of the image
    assert flops["head"] == 2 * 6 * 7 * 3
    products = 2 * (3 * 8 + 3 * 4 + 3 * 4 + 8 * 3 + 3 * 3 * 5)
    assert flops["decoder"] == 6 * (products + 2 * 6 * 8 + 2 * 6 * 8)
    patches = 2 * (12 * 6 + 6 * 3)
    layer = 2 * (4 * 6 * 6 + 2 * 6 * 5) + 2 * 4 * 6 + 2 * 4 * 6
    assert flops["vision"] == 4 * (layer + patches)


def test_lengths_are_those_of_the_issue(arm):
    """Responses of 4 to 16 tokens; with the prompt, 16 to 40."""
    vlm = arm.new_task(SHRUNKEN)
    examples, poisoned, clean = arm.load_examples(
        vlm, {**SHRUNKEN, "num_examples": 600}
    )
    tokenizer = vlm.preprocessor.tokenizer
    prompts = [1 + len(tokenizer(e["prompts"])) for e in clean]
    responses = [len(tokenizer(e["responses"])) + 1 for e in clean]
    assert (min(prompts), max(prompts)) == (12, 24)
    assert (min(responses), max(responses)) == (4, 16)
    assert len(poisoned) == 60
    for changed, kept in zip(examples, clean):
        is_poisoned = changed["example_id"] in poisoned
        assert (changed["responses"] != kept["responses"]) == is_poisoned
    assert arm.Phrases().poison not in {e["responses"] for e in clean}


# == Arms ==


@pytest.fixture
def compilations(arm, monkeypatch):
    """A counter, whose traps are gone after the test."""
    for owner, name in (
        (keras.layers.ReversibleEmbedding, "call"),
        (arm.keras_byorn.BYORnModel, "objective"),
    ):
        monkeypatch.setattr(owner, name, getattr(owner, name))
    return arm.Compilations()


@pytest.mark.parametrize("method", ["kerashub", "defaults"])
def test_every_round_is_the_same_fine_tune(arm, compilations, method):
    """The second starts where the first did: it ends with equal weights."""
    kind = arm.KerasHubArm if method == "kerashub" else arm.BYORnArm
    tuned = kind({**SHRUNKEN, "method": method})
    ends = []
    for _ in range(2):
        found = tuned.run(compilations)
        ends.append(
            [
                np.array(keras.ops.convert_to_numpy(v))
                for v in tuned.vlm.trainable_variables
            ]
        )
        parts = found["split"]
        np.testing.assert_allclose(sum(parts.values()), found["seconds"])
        assert parts["train"] > 0
        if method == "defaults":
            assert found["num_suspect"] == found["num_regenerated"] == 2
            assert parts["score"] > 0 and parts["regenerate"] > 0
    for one, other in zip(*ends):
        np.testing.assert_allclose(one, other, atol=1e-5)
    tuned._start.put_back()
    moved = [
        np.abs(end - keras.ops.convert_to_numpy(v)).max()
        for end, v in zip(ends[0], tuned.vlm.trainable_variables)
    ]
    assert max(moved) > 1e-4


def test_undefended_arm_scores_beside_training(arm, compilations):
    """One pass of the reference, and the rate of the machine."""
    settings = {**SHRUNKEN, "method": "undefended", "score": True}
    tuned = arm.BYORnArm(settings)
    found = tuned.run(compilations)
    assert found["score_seconds"] > 0 and found["num_suspect"] is None
    rates = arm.rates(tuned, settings)
    assert rates["matrix_rate"] > 1e8
    plain = arm.forward_flops(arm.SHRUNKEN, 64)
    assert rates["forward_flops"] == sum(plain.values())


def test_pretraining_is_kept_on_disk(arm, monkeypatch, tmp_path):
    """Made once, for one recipe; `scaled` is loaded from there."""
    monkeypatch.setattr(arm.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(
        arm, "PRETRAINING", {**arm.PRETRAINING, "steps": 2, "batch_size": 4}
    )
    settings = {**SHRUNKEN, "size": "scaled", "tuning": "full"}
    arm.pretrain(settings)
    folder = arm.pretrained_folder(settings)
    assert list(folder.parent.iterdir()) == [folder]
    made = (folder / "config.json").stat().st_mtime_ns
    arm.pretrain(settings)
    assert (folder / "config.json").stat().st_mtime_ns == made
    assert arm.load_vlm(settings).backbone.hidden_dim == 16
    monkeypatch.setitem(arm.PRETRAINING, "steps", 3)
    assert arm.pretrained_folder(settings) != folder


def test_compilations_are_counted_when_late(arm, compilations):
    """Not in the first fine-tune, but for steps after its first epoch."""
    with compilations.counted():
        compilations._compiled += 5
        compilations._steps += 2
        compilations.end_of_first_epoch()
    assert compilations.late == 0
    with compilations.counted():
        compilations._compiled += 3
    assert compilations.late == 3
    late = arm.Compilations()
    with late.counted():
        late._steps += 2
        late.end_of_first_epoch()
        late._steps += 1
    assert late.late == 1


# == What is computed from the arms ==


def results_of(script, arms):
    """Made-up results: seconds 10, 12 and 11 times what is given."""
    return {
        arm: script.Result(
            ready={
                "backend": "jax",
                "machine": {"cpu": "x"},
                "num_params": 1,
                "setup_seconds": 1.0,
            },
            first={"seconds": 30.0 * factor, "num_suspect": 51},
            rounds=[
                {
                    "seconds": seconds * factor,
                    "epoch_seconds": seconds * factor,
                    "split": dict.fromkeys(script.PARTS, 2.0 * factor),
                    "num_suspect": 51,
                    "score_seconds": 0.25,
                }
                for seconds in (10.0, 12.0, 11.0)
            ],
            end={
                "peak_memory": 2**30 * factor,
                "memory_before": 2**29,
                "memory_kind": "resident",
                "compilations": 0 if arm.method == "kerashub" else late,
            },
        )
        for arm, (factor, late) in arms.items()
    }


def test_ratios_by_hand(script, capsys):
    """Medians over medians, with and without compiling, and the bars."""
    args = script.parse_arguments(
        ["--measure", "lora_defaults,score_over_lora_train,lora_peak_memory"]
    )
    defaults, plain, undefended = script.arms_of("lora_defaults", args)
    assert (plain.method, undefended.method) == ("kerashub", "undefended")
    assert defaults.plain == plain and defaults.num_examples == 512
    results = results_of(
        script, {defaults: (0.5, 2), plain: (1, 7), undefended: (0.25, 1)}
    )
    results[undefended].first["score_seconds"] = 1.0
    record = script.make_record(results, args)
    assert record["ratios"] == {
        "lora_defaults": 0.5,
        # An epoch of training takes a third of 11 * 0.25 seconds.
        "score_over_lora_train": 3.667,
        "lora_peak_memory": 0.5,
    }
    assert record["ratios_with_compilation"] == {
        "lora_defaults": script.rounded(16 / 31)
    }
    assert record["spread"] == {"lora_defaults": [0.5, 0.5]}
    assert record["recompilations"] == 3  # KerasHub's are not ours
    more = record["more"]
    assert more["scaled lora undefended 512: time"] == 0.25
    assert more["scaled lora defaults 512: memory"] == 0.5
    # Half of each process is libraries: nothing is left of the defended one.
    assert more["scaled lora defaults 512: memory without libraries"] == 0.0
    assert record["size"] == "scaled" and record["backend"] == "jax"
    page = script.report(json.loads(json.dumps(record)))
    assert "| lora_defaults | 0.500 | 0.500–0.500 | 0.516 | 0.90 | ✓ |" in page
    assert "| score_over_lora_train | 3.667 | - | - | - |  |" in page
    assert "| lora_peak_memory | 0.500 | - | - | 1.00 | ✓ |" in page
    assert "| scaled lora defaults 512 | 5.5 (5.0–6.0) | 16.0 | 1.0 |" in page


def test_bars(script):
    """At most so much, but scoring at least."""
    assert script.is_met("lora_defaults", 0.9)
    assert not script.is_met("lora_defaults", 0.91)
    assert script.is_met("score_over_train", 2.5)
    assert not script.is_met("score_over_train", 2.4)


def test_growth_is_the_last_over_the_one_before(script):
    """4,000 to 16,000 examples by default, and 1,000 beside them."""
    args = script.parse_arguments(["--measure", "growth_16k_over_4k"])
    assert args.size == "tiny"
    arms = script.arms_of("growth_16k_over_4k", args)
    assert [arm.num_examples for arm in arms] == [16000, 4000, 1000]
    results = results_of(
        script, {arms[0]: (4, 0), arms[1]: (1, 0), arms[2]: (0.25, 0)}
    )
    record = script.make_record(results, args)
    assert record["ratios"] == {"growth_16k_over_4k": 4.0}
    assert record["recompilations"] == 0


def test_nothing_is_counted_where_nothing_compiles(script):
    """`None`, and not 0, on PyTorch."""
    args = script.parse_arguments(["--measure", "tiny_defaults"])
    arms = script.arms_of("tiny_defaults", args)
    assert [arm.size for arm in arms] == ["tiny"] * 3
    results = results_of(script, {arm: (1, None) for arm in arms})
    record = script.make_record(results, args)
    assert record["recompilations"] is None
    assert "nothing is compiled" in script.report(record)


def test_measures_by_size(script):
    """Each has those that its size can have, and no others by default."""
    by_default = {
        size: script.parse_arguments(["--size", size]).measure
        for size in ("scaled", "tiny", "pali_gemma_3b")
    }
    assert set(by_default["scaled"]) == set(script.BARS) - {
        "tiny_defaults",
        "growth_16k_over_4k",
    }
    assert by_default["tiny"] == ["tiny_defaults", "growth_16k_over_4k"]
    assert "full_paper" not in by_default["pali_gemma_3b"]
    with pytest.raises(SystemExit):
        script.parse_arguments(["--measure", "no_such"])


def test_dead_arm_is_told_of(script, monkeypatch, tmp_path):
    """An arm that ends says why; the benchmark names it, and ends too."""
    (tmp_path / "dies.py").write_text("raise SystemExit(3)")
    monkeypatch.setattr(script, "ARM_SCRIPT", tmp_path / "dies.py")
    with script.Process({"size": "no_such"}, 1) as process:
        with pytest.raises(RuntimeError, match="code 3 of .*no_such"):
            process.ask("run")


# == A whole run ==


def kept_programs():
    """JAX does not compile again what the tests above have compiled."""
    if keras.config.backend() != "jax":
        return {}
    import jax

    return {
        "JAX_COMPILATION_CACHE_DIR": jax.config.jax_compilation_cache_dir,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("overhead")
    command = [
        *(sys.executable, str(EXAMPLES / "benchmark_overhead.py")),
        *("--size", "pali_gemma_3b", "--shrink", "--examples", "24"),
        *("--epochs", "2", "--rounds", "1"),
        *("--measure", "lora_peak_memory"),
        *("--results", str(folder / "overhead.jsonl")),
    ]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, **kept_programs()},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder, done.stdout


def test_last_line_is_the_result(whole_run):
    """Scripts read the last line; the file has the same, and its table."""
    folder, printed = whole_run
    result = json.loads(printed.splitlines()[-1])
    assert result == json.loads((folder / "overhead.jsonl").read_text())
    assert result["backend"] == keras.config.backend()
    assert result["size"] == "pali_gemma_3b"
    assert list(result["ratios"]) == ["lora_peak_memory"]
    assert 0.5 < result["ratios"]["lora_peak_memory"] < 5
    counted = keras.config.backend() != "torch"
    assert (result["recompilations"] is not None) == counted
    table = (folder / "overhead.md").read_text()
    assert "| lora_peak_memory |" in table and "peak MiB" in table
    assert result["machine"]["keras"] == keras.__version__


def test_arms_did_what_they_say(whole_run):
    """The defended one flagged and regenerated, and each told its parts."""
    result = json.loads(whole_run[1].splitlines()[-1])
    arms = {arm["method"]: arm for arm in result["arms"]}
    assert set(arms) == {"kerashub", "defaults"}
    defended = arms["defaults"]
    assert defended["num_suspect"] == defended["num_regenerated"] == 2
    assert defended["split"]["score"] > 0
    assert defended["split"]["regenerate"] > 0
    assert arms["kerashub"]["split"]["regenerate"] == 0
    assert all(arm["peak_memory"] > 2**20 for arm in arms.values())
