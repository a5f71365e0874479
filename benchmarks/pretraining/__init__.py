"""The two sides of ``pretrain_vs_nanogpt.py``, and the one clock and curve that both are measured by."""
