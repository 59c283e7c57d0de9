"""Contract of every family; see `vlm_contract_table.py`."""
