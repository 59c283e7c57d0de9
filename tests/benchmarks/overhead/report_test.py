"""Tables of one result, and those of the committed results."""

import json
import pathlib
import shutil

from overhead import figures, measure, plan, report

RESULTS = pathlib.Path(report.__file__).parent / "results" / "overhead.jsonl"


def test_tables_by_hand(make_results):
    """Ratios with their bars, and a row for each arm."""
    args = measure.parse_arguments(
        ["--measure", "lora_defaults,score_over_lora_train,lora_peak_memory"]
    )
    defaults, plain, undefended = plan.arms_of("lora_defaults", args)
    results = make_results(
        {defaults: (0.5, 2), plain: (1, None), undefended: (0.25, None)}
    )
    record = figures.make_record(results, args)
    page = report.render(json.loads(json.dumps(record)))
    assert "| lora_defaults | 0.500 | 0.500–0.500 | 0.516 | 0.90 | ✓ |" in page
    assert "| score_over_lora_train | 3.667 | - | - | - |  |" in page
    assert "| lora_peak_memory | 0.500 | - | - | 1.00 | ✓ |" in page
    assert "| scaled lora defaults 512 | 5.5 (5.0–6.0) | 16.0 | 1.0 |" in page
    assert "nothing is compiled" in page


def test_committed_tables_are_of_the_committed_results(tmp_path):
    """Made anew they are the same, to the letter."""
    path = shutil.copy(RESULTS, tmp_path)
    report.write_table(path)
    made = (tmp_path / "overhead.md").read_text("utf-8")
    assert made == RESULTS.with_suffix(".md").read_text("utf-8")


def test_results_are_added(tmp_path):
    """A line for each, and the tables of all."""
    record = json.loads(RESULTS.read_text("utf-8").splitlines()[0])
    path = tmp_path / "overhead.jsonl"
    for _ in range(2):
        report.append(path, record)
    assert len(path.read_text("utf-8").splitlines()) == 2
    table = path.with_suffix(".md").read_text("utf-8")
    assert table.count("| lora_defaults |") == 2
