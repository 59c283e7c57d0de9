"""The command as a shell runs it: help, usage, exit codes."""

import os
import pathlib
import re
import subprocess
import sys
import time

import pytest

import keras_byorn_cli
from keras_byorn.detection import scorers

SCRIPT = pathlib.Path(keras_byorn_cli.__file__)
COMMANDS = ("audit", "finetune", "review")
MAX_SECONDS = 2.0


def run(*arguments, module=None):
    command = [sys.executable, *(("-m", module) if module else (SCRIPT,))]
    return subprocess.run(
        [*map(str, command), *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(SCRIPT.parent)},
    )


def test_help_is_there_at_once():
    """With no backend loaded, nor Keras, nor this package."""
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        done = run("--help")
        seconds.append(time.perf_counter() - start)
        assert done.returncode == 0
    assert all(name in done.stdout for name in COMMANDS)
    assert min(seconds) < MAX_SECONDS
    code = (
        "import sys, keras_byorn_cli\n"
        "try:\n    keras_byorn_cli.main(['audit', '--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'keras', 'jax', 'torch', 'tensorflow', 'numpy'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(SCRIPT.parent)},
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "required: command"),
        (["audit"], "required: DATA, --preset, --out"),
        (["audit", "d", "--preset", "p"], "required: --out"),
        (["finetune", "d", "--out", "o"], "required: --preset"),
        (["review", "d"], "required: --decisions"),
        (["audit", "d", "--decision", "1.5"], "fraction in.*'1.5'"),
        (["audit", "d", "--scorer", "Regret,Best"], "among Mean.*'Best'"),
        (["audit", "d", "--on-bad", "keep"], "invalid choice: 'keep'"),
        (["finetune", "d", "--resumed"], "unrecognized|required"),
    ],
)
def test_wrong_usage_exits_with_2(arguments, message, capsys):
    """And says what is missing or wrong."""
    with pytest.raises(SystemExit) as raised:
        keras_byorn_cli.main(arguments)
    assert raised.value.code == 2
    assert re.search(message, capsys.readouterr().err)


def test_bad_input_exits_with_1(tmp_path):
    """One line on stderr, from `python -m keras_byorn`, and no traceback."""
    done = run(
        *("review", str(tmp_path / "none")),
        *("--decisions", str(tmp_path / "none.json")),
        module="keras_byorn",
    )
    assert done.returncode == 1 and done.stdout == ""
    (line,) = (li for li in done.stderr.splitlines() if "error:" in li)
    assert line.startswith("keras-byorn review: error: ")
    assert "none/detection" in line and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["--preset", "no_such_preset"],
        ["--preset", "no_such_preset", "--task", "NoSuchLM"],
    ],
)
def test_a_preset_that_is_not_there_is_bad_input(arguments, tmp_path, capsys):
    """In one line; `--traceback` shows where it arose."""
    arguments = ["audit", "d.jsonl", *arguments, "--out", str(tmp_path)]
    assert keras_byorn_cli.main(arguments) == 1
    lines = capsys.readouterr().err.splitlines()
    assert [li for li in lines if li.startswith("keras-byorn audit: error: ")]
    with pytest.raises(ValueError):
        keras_byorn_cli.main([*arguments, "--traceback"])


def test_scorers_of_the_command_are_those_of_the_package():
    """All that need no scorer of their own; they are made without arguments."""
    public = {n for n in scorers.__all__ if n not in ("Scorer", "TokenScorer")}
    assert public - {"Ensemble"} == set(keras_byorn_cli.SCORERS)


def test_the_page_names_all_options_and_no_other():
    """Of each command, but for those that every command has."""
    page = SCRIPT.parent / "docs" / "command-line.md"
    named = set(
        re.findall(r"(?<![\w-])--[a-z][a-z-]+", page.read_text("utf-8"))
    )
    parser = keras_byorn_cli.build_parser()
    commands = next(
        action.choices for action in parser._actions if action.choices
    )
    known = {
        option
        for command in commands.values()
        for action in command._actions
        for option in action.option_strings
        if option.startswith("--")
    }
    assert named == known
