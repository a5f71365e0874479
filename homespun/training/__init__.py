"""Model and batches to weights: one loop, its losses, optimizer, schedule, precision, checkpoints and budget.

Everything that a model file must not know is here: devices, precision, time, files.
"""
