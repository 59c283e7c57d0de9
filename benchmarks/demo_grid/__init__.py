"""Grid of runs of the demo; see `run_demo_grid.py`."""
