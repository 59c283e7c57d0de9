"""Tables of results: means, worst seeds, and bars."""

import json

from table import results
from table.run_digits import RESULTS


def keep(path, *cells):
    path.write_text("".join(json.dumps(cell) + "\n" for cell in cells))


def rows_of(text):
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line[1:-1].split("|")] for line in lines]


def test_last_result_of_a_cell_counts(tmp_path, result):
    """A cell that was run again stands once; a missing file is no results."""
    path = tmp_path / "digits.jsonl"
    assert results.read_cells(path) == []
    keep(path, result(exact_match=0.1), result("none"), result(exact_match=0.2))
    first, second = results.read_cells(path)
    assert (first["exact_match"], second["defence"]) == (0.2, "none")


def test_tables_show_mean_and_worst(tmp_path, result):
    """Columns without a value are left out; counts are whole numbers."""
    path = tmp_path / "digits.jsonl"
    cells = [
        result("clean_only", 0),
        result("clean_only", 1),
        result("ours", 0, num_poison_restored=1, end={"recall": 1.0}),
        result(
            "ours", 1, num_poison_restored=4, exact_match=0.8,
            end={"recall": 0.5, "flagged": None},
        ),
    ]  # fmt: skip
    results.write_tables(cells, path)
    titles, clean, ours = rows_of(path.with_suffix(".md").read_text())
    assert titles == [
        "case",
        "defence",
        "seeds",
        "attack success",
        "exact match",
        "recall, end",
        "poison restored",
        "refused",
        "bars",
    ]
    assert clean[2:] == [
        "2",
        "0.000 (0.000)",
        "0.900 (0.900)",
        "-",
        "-",
        "0",
        "-",
    ]
    assert ours[2:] == [
        "2",
        "0.000 (0.000)",
        "0.850 (0.800)",
        "0.750 (0.500)",
        "2.5 (4)",
        "0",
        "missed: exact match",
    ]


def test_honest_cases_compare_with_no_defence(tmp_path, result):
    """Their clean part is all of them; refusals are counted."""
    honest = {"num_poisoned": 0, "attack_success_rate": None}
    cells = [
        result("none", 0, **honest),
        result("ours", 0, **honest),
        result("ours", 1, **honest, refused="why"),
        result("paper", 1, **honest),
    ]
    path = tmp_path / "digits.jsonl"
    results.write_tables(cells, path)
    _, _, ours, paper = rows_of(path.with_suffix(".md").read_text())
    assert ours[-2:] == ["1", "missed: refused"]
    assert paper[-2:] == ["0", "?"]


def test_backends_have_tables_of_their_own(tmp_path, result):
    """Jax comes first."""
    path = tmp_path / "digits.jsonl"
    results.write_tables([result(backend="torch"), result()], path)
    text = path.with_suffix(".md").read_text()
    assert text.index("Attacks, on jax") < text.index("Attacks, on torch")


def test_committed_tables_are_of_the_committed_results(tmp_path):
    """Made anew they are the same, to the letter."""
    path = tmp_path / "digits.jsonl"
    results.write_tables(results.read_cells(RESULTS), path)
    committed = RESULTS.with_suffix(".md").read_text()
    assert path.with_suffix(".md").read_text() == committed
