"""The grid of the demo: its committed table."""

import pytest
from demo_grid import run_demo_grid


@pytest.mark.parametrize("name", ["demo_grid", "demo_defaults"])
def test_committed_table_is_of_the_committed_results(name):
    """Made anew it is the same, to the letter."""
    made = run_demo_grid.render(run_demo_grid.read_results(name), name)
    assert made == (run_demo_grid.RESULTS / f"{name}.md").read_text()


def test_every_case_ran_everywhere():
    """Three seeds on each backend."""
    runs = {
        (r["case"], r["backend"], r["seed"])
        for r in run_demo_grid.read_results()
    }
    assert runs == {
        (case, backend, seed)
        for case in run_demo_grid.CASES
        for backend in run_demo_grid.BACKENDS
        for seed in range(3)
    }
