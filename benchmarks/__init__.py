"""What callsheet costs, measured: `python -m benchmarks` prints one table. Nothing here asserts a time."""
