"""The rows of `experiments/benchmark.py`, and the peers that they are measured against."""
