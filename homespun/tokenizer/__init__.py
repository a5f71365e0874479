"""Documents <-> token ids: byte-level byte-pair encoding (BPE), learned and applied by our own code.

In reading order:

- ``settings``: the choices (vocabulary size, split pattern, how much text to learn from).
- ``patterns`` and ``split``: text -> pieces; no token ever crosses the border of a piece.
- ``naive``: the shortest readable trainer and encoder, as in the book; the oracle of the fast ones.
- ``sampling`` and ``training``: documents -> merges, fast and in bounded memory.
- ``encoding``: one piece -> ids, by the rank of the merges.
- ``special``: the tokens that no text contains, such as ``<|endoftext|>``.
- ``tokenizer``: the class ``Tokenizer``, which joins all of it.
- ``storage``: one readable JSON file <-> ``Tokenizer``.
- ``streaming``: ids, one by one -> text that is never cut inside a character.

Training and encoding share one split and one special-token table, so what was learned is what is applied.
"""
