"""Tools that know arrays and Python, and nothing of minifw."""
