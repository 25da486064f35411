"""Tests, one for each file of the source; `test_flow.py` and `test_kill.py` for the whole."""
