"""Weights to text: sampling rules, a naive generator as oracle, and the cached engine.

Shapes: B sequences, T positions, V vocabulary.
"""
