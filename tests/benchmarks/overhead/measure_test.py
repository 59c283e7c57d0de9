"""The benchmark as a user calls it: its options, and one smallest run."""

import json
import os
import subprocess
import sys

import keras
import pytest
from overhead import measure


def test_size_follows_from_the_measures():
    """`scaled`, unless only measures of `tiny` are asked for."""
    args = measure.parse_arguments([])
    assert args.size == "scaled" and args.rounds == 3 and args.threads == 1
    args = measure.parse_arguments(["--measure", "tiny_defaults"])
    assert args.size == "tiny"


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--measure", "no_such"], "must be among lora_defaults"),
        (["--rounds", "0"], "at least 1. Received: 0"),
    ],
)
def test_unclear_options_are_refused(arguments, message, capsys):
    """With what came."""
    with pytest.raises(SystemExit):
        measure.parse_arguments(arguments)
    assert message in capsys.readouterr().err


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory):
    """The folder and the output of the smallest run, from another folder."""
    folder = tmp_path_factory.mktemp("overhead")
    command = [
        *(sys.executable, measure.__file__),
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


def kept_programs():
    """Lets JAX find what the tests have compiled before."""
    if keras.config.backend() != "jax":
        return {}
    import jax

    return {
        "JAX_COMPILATION_CACHE_DIR": jax.config.jax_compilation_cache_dir,
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
    }


@pytest.mark.slow
def test_last_line_is_the_result(whole_run):
    """Scripts read the last line; the file has the same, and its table."""
    folder, printed = whole_run
    result = json.loads(printed.splitlines()[-1])
    assert result == json.loads((folder / "overhead.jsonl").read_text())
    assert list(result) == [
        *("size", "backend", "ratios", "recompilations"),
        *("ratios_with_compilation", "spread", "more", "arms", "settings"),
        "machine",
    ]
    assert result["backend"] == keras.config.backend()
    assert result["size"] == "pali_gemma_3b"
    assert list(result["ratios"]) == ["lora_peak_memory"]
    assert 0.5 < result["ratios"]["lora_peak_memory"] < 5
    counted = keras.config.backend() != "torch"
    assert (result["recompilations"] is not None) == counted
    table = (folder / "overhead.md").read_text()
    assert "| lora_peak_memory |" in table and "peak MiB" in table
    assert result["machine"]["keras"] == keras.__version__


@pytest.mark.slow
def test_arms_did_what_they_say(whole_run):
    """The defended one flagged and regenerated; each has its parts."""
    result = json.loads(whole_run[1].splitlines()[-1])
    arms = {arm["method"]: arm for arm in result["arms"]}
    assert set(arms) == {"kerashub", "defaults"}
    defended = arms["defaults"]
    assert defended["num_held_out"] == defended["num_regenerated"] == 2
    assert defended["split"]["score"] > 0
    assert defended["split"]["regenerate"] > 0
    assert arms["kerashub"]["split"]["regenerate"] == 0
    assert all(arm["peak_memory"] > 2**20 for arm in arms.values())
