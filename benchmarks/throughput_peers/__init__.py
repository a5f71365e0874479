"""The sides of ``throughput.py``: one file per program, and the clock that all of them are measured by."""
