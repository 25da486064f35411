"""Tests, one for each file of the source; `test_flow*.py`, `test_ray.py` and `test_kill.py` test the whole."""
