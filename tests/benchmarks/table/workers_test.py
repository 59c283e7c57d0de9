"""Workers: what is still to run, and in which order."""

import json

import pytest
from table import token_scores, workers
from table.run_digits import parse_arguments

LONG = "insertion_8"


@pytest.fixture
def todo(tmp_path):
    """A function from options to what is missing, given known results."""

    def missing(*options, known=()):
        path = tmp_path / "digits.jsonl"
        path.write_text("".join(json.dumps(cell) + "\n" for cell in known))
        args = parse_arguments(["--results", str(path), *options])
        return workers.missing(args, "jax")

    return missing


def test_known_cells_are_skipped(todo, result):
    """Of this backend, seed and defence; refusals are known as well."""
    known = [
        result("none"),
        result("ours", refused="why"),
        result("paper", backend="torch"),
    ]
    options = "--cases", "patch 10 %", "--seeds", "0,1"
    options += "--defences", "none,clean_only,ours,ours_trusted,paper"
    assert todo(*options, known=known) == [
        ("patch 10 %", 0, ["clean_only", "paper"]),
        ("patch 10 %", 1, ["none", "clean_only", "ours", "paper"]),
    ]


def test_defences_that_do_not_apply(todo):
    """Trusted examples or a clean part, only where a case has them."""
    cases = "flood of gibberish, 55 %;clean letters;noise of words, 5 %"
    cases += f";minority long, 5 %, own prompt;{LONG}"
    found = todo("--cases", cases, "--seeds", "3")
    assert found == [
        (
            "flood of gibberish, 55 %",
            3,
            ["none", "clean_only", "ours", "ours_trusted", "paper"],
        ),
        ("clean letters", 3, ["none", "ours", "paper"]),
        ("noise of words, 5 %", 3, ["none", "ours", "paper"]),
        (
            "minority long, 5 %, own prompt",
            3,
            ["none", "ours", "ours_trusted", "paper"],
        ),
    ]


def test_scores_that_are_there_are_not_made_again(todo, tmp_path):
    """Long cases are scored only, with a preset for them."""
    path = token_scores.path_of(tmp_path, "patch 10 %", 0)
    assert path.name == "patch_10-0.npz"
    path.touch()
    options = "--scores", str(tmp_path), "--scores-only", "--seeds", "0"
    cases = "--cases", f"patch 10 %;patch 50 %;{LONG}"
    assert todo(*options, *cases) == [("patch 50 %", 0, [])]
    with_long = todo(*options, *cases, "--long-preset", "somewhere")
    assert with_long == [("patch 50 %", 0, []), (LONG, 0, [])]


def test_scores_of_all_cases_have_paths_of_their_own():
    """A slug that two cases share would lose one of them."""
    from table.cases import CASES

    paths = {token_scores.path_of("scores", case, 0) for case in CASES}
    assert len(paths) == len(CASES)


@pytest.mark.parametrize(
    "options, message",
    [
        (["--cases", "no such"], "no such case or defence: no such"),
        (["--defences", "all"], "no such case or defence: all"),
        (["--scores-only"], "needs the folder --scores"),
    ],
)
def test_bad_options(options, message, capsys):
    """Refused before anything is run."""
    with pytest.raises(SystemExit):
        parse_arguments(options)
    assert message in capsys.readouterr().err
