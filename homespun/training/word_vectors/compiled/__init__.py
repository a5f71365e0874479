"""The fast path of word vectors: a kernel that numba compiles once, with the same windows and steps as ``plain``.

How it is compiled and kept is in ``homespun/tokenizer/compiled/machine_code.py``. In reading order:

- ``fields``  the words through which Python and the kernel talk
- ``lanes``   sixteen float32 at once, as single LLVM instructions
- ``draws``   random numbers, the words that stay, random words
- ``windows`` one window: guesses, and the steps of all rows
- ``kernel``  passages to windows, for both methods
- ``learner`` the Python that gives it memory

Modules of kernels import numba; only ``machine_code`` imports them, when it has to compile.
"""
