"""Documents <-> token ids: byte-level byte-pair encoding (BPE), learned and applied by our own code.

In reading order:

- ``simple``: one id per character, or per word: the two tokenizers to begin with. Nothing else uses them.
- ``naive``: the shortest readable BPE trainer and encoder, as in the book; the oracle of the fast ones.
- ``settings``: the choices (vocabulary size, split pattern, how much text to learn from).
- ``unicode_classes``, ``patterns`` and ``split``: text -> pieces; no token ever crosses the border of a piece.
- ``special``: the tokens that no text contains, such as ``<|endoftext|>``.
- ``vocabulary``: pattern, merges, special tokens and public ids, checked: what a tokenizer is made of.
- ``encoding`` and ``plain_encoder``: one piece -> ids, by the rank of the merges; a text -> ids.
- ``sampling`` and ``plain_training``: documents -> counted pieces -> merges, in bounded memory.
- ``clusters``: letters with their marks, merged before anything else.
- ``compiled``: the same once more, as machine code; begin with its ``__init__``.
- ``engine`` and ``training``: which of the two paths encodes, and which one learns.
- ``tokenizer``: the class ``Tokenizer``, which joins all of it; ``spans``: which characters a token stands for.
- ``chat``: messages -> ids, with the control tokens that nobody can type.
- ``storage``: one readable JSON file <-> ``Vocabulary``; ``formats``: the files of other programs.
- ``streaming``: ids, one by one -> text that is never cut inside a character.

Training and encoding share one split and one special-token table, so what was learned is what is applied.
"""
