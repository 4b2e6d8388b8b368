"""What `compare.py` runs: the workloads, the contenders, and how they are measured."""
