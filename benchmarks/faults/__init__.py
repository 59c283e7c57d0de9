"""What a kill, a fault or a bad file does to a run."""
