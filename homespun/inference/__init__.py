"""Weights to answers: texts continued, translated or with their gaps filled, pictures named, words compared.

``uses`` says which model is for what. Texts are continued by a cached engine, with a naive generator as its oracle, and
translated by beam search.

Shapes: B sequences, T positions, V vocabulary.
"""
