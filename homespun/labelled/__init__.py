"""What the corpus is for running text, this room is for texts with labels: tables become three splits of a classifier.

What comes in: CSV, TSV, JSON (lines) or Parquet files with a column of texts and one of labels. What goes out: a folder
with ``train``, ``validation`` and ``test`` and a ``manifest.json`` that counts what was left out. In reading order:

- ``settings``  the knobs (``LabelledConfig``)
- ``read``      a file to its rows; what cannot be a row is one line that names it
- ``split``     rows to three splits: no text twice, every class in each
- ``storage``   splits to a folder, and back

The texts of one run fit into memory.
"""
