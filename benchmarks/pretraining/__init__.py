"""The two sides of ``time_to_loss.py``, and the one clock and curve that both are measured by."""
