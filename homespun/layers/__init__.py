"""The parts of models: normalization, positions, attention, feed-forward, recurrence, blocks and the caches.

Single-device mathematics only: no device, dtype, compile or parallel code. Every model in
``homespun.models`` is put together from these.

Shapes, in every file of this folder: B batch, T positions in this call, S positions attended to
(S >= T with a cache), C width, H query heads, K key-value heads, D width of one head, V vocabulary.
"""
