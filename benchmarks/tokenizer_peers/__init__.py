"""The parts of ``tokenizer_vs_peers.py``: one file per contender, one per question, and the process that measures."""
