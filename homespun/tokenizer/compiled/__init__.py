"""The fast path of the tokenizer: kernels that numba compiles once and that are kept as machine code.

In: what the plain path takes. Out: the same ids and merges, which tests compare. ``docs/2-tokenizer.md`` has the ideas
under "How it gets fast". In reading order:

- ``machine_code``: a kernel's name -> its machine code, from the cache folder or compiled; knows all kernels.
- ``intrinsics``: single LLVM instructions by name: loads, stores, compares of 64 bytes, arithmetic that wraps.
- ``workspace``: the words through which Python and a kernel talk, and the sizes that both must agree on.
- ``characters``: UTF-8 -> characters and their classes.
- ``splitting`` and ``starts``: where a piece ends, by a state machine; where pieces begin in 64 bytes, by masks.
- ``walk``: the step from piece to piece that all kernels share; made of the two above.
- ``splitting_kernel``: text -> pieces; the smallest whole kernel, to begin with.
- ``piece_table`` and ``piece_memory``: the hash table of pieces seen before, for encoding and counting; its memory.
- ``merging``: one piece -> ids: short ones, long ones chunk by chunk, and any at all with a heap.
- ``merge_tables``: a vocabulary -> the arrays that merging looks things up in.
- ``documents``: texts -> one buffer, as a kernel reads them.
- ``encoding_kernel`` and ``encoder``: text -> ids; the kernel, and the Python that gives it memory.
- ``counting_kernel`` and ``counter``: text -> how often each piece occurs, on several threads.
- ``learning_fields``, ``learning_kernel`` and ``learner``: counted pieces -> merges.

Modules of kernels import numba. So only ``machine_code`` imports them, when it has to compile, and nothing is imported
here.
"""
