"""Text -> word vectors (Word2Vec): a pass to count and number the words, then many sparse updates of two tables.

The mathematics are in ``homespun/models/word2vec.py``. In reading order:

- ``settings``    the knobs (``WordVectorConfig``)
- ``words``       a text to its words
- ``vocabulary``  the words that are kept, and how often each occurs
- ``passages``    a stream of texts to word ids on the disk
- ``reading``     sources to passages, by the readers of the corpus room
- ``randomness``  the random numbers, as Python and machine code both make them
- ``sampling``    which occurrences of frequent words are left out; how random words are drawn
- ``tables``      the two tables that are learned
- ``plain``       one window after the other in NumPy: the oracle of the kernel
- ``compiled``    the same as machine code, on several threads at once
- ``train``       passages to vectors: chunks, threads, the falling rate
- ``vectors``     what comes out: a matrix and its words
- ``storage``     them as a folder, checked by SHA-256
- ``text_format`` them in the text format of word2vec, which gensim and others read
"""
