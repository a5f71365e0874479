"""Weights to scores: how good is a model, and how sure is that?

In: a model, its tokenizer and a task. Out: figures, each with a 95 % interval, and a paired test where two models are
compared. In reading order:

- ``task``            what is asked, as a small TOML file; ``tasks/`` has some
- ``rows``            a file of examples to its rows, or an error that names the line
- ``template``        ``{column}`` in prompts
- ``shots``           solved examples before the one that is asked
- ``questions``       prompts with choices
- ``likelihood``      how likely a model finds one text after another; ``naive`` is its oracle
- ``sharing``         which likelihoods are computed together
- ``measure``         the one form of all measures: a formula on sums over examples
- ``intervals``       Wilson's interval and the bootstrap
- ``paired``          McNemar's test and the paired bootstrap
- ``classes``         accuracy, balanced accuracy, F1, Brier score, calibration
- ``bleu`` ``chrf`` ``rouge``   texts against references
- ``variety``         how much a text repeats itself
- ``overlap``         how much of a test stands in the training text
- ``words`` ``passages``        text to words; passages from anywhere in a long text
- ``kind``, ``kinds/``          each kind of task is one file
- ``run_task``        a task and one or two models in, the record of an evaluation out
- ``harness``         an adapter for lm-evaluation-harness; needs its package
"""
