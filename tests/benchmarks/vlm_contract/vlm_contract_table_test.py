"""The table of families: its marks, and the committed one."""

import json
import pathlib

from vlm_contract import vlm_contract_table

RESULTS = pathlib.Path(vlm_contract_table.__file__).parent / "results"


def test_faults_are_numbered():
    """Equal faults have one number; reasons stand below the table."""
    rows = [
        {
            "family": family,
            "backend": "jax",
            "capability": capability,
            "ok": capability == "score",
            "reason": None if capability == "score" else "ValueError: no",
        }
        for family in ("A", "B")
        for capability in ("score", "train")
    ]
    assert vlm_contract_table.table(rows).splitlines()[2:] == [
        "| A | jax | ✓ | [1] |",
        "| B | jax | ✓ | [1] |",
        "",
        "[1] ValueError: no",
    ]


def test_committed_table_is_of_the_committed_rows():
    """Made anew it is the same, to the letter."""
    rows = json.loads((RESULTS / "vlm_contract.json").read_text("utf-8"))
    committed = (RESULTS / "vlm_contract.md").read_text("utf-8")
    assert vlm_contract_table.table(rows).strip() in committed
