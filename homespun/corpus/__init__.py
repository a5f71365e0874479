"""The first room: files of any kind become clean documents, split into train and validation.

What comes in: the word ``python`` or paths of files and folders. What goes out: a folder of Parquet
shards (``train-00000.parquet``, ``validation-00000.parquet``) and a ``manifest.json`` that says what
each step kept, changed and left out. In reading order:

- ``settings``        the knobs (``CorpusConfig``)
- ``document``        what a document is
- ``source_file``     what one file is, told by its ending
- ``sources``         SOURCE words to a list of files, and their size
- ``opening``         a file, compressed or not, to blocks of bytes
- ``decode``          bytes to text, whatever the encoding
- ``records``         text to records: JSON, JSON lines, CSV, TSV, Parquet
- ``extract_html``    a web page to its text
- ``python_library``  the default source: Python's own standard library
- ``read``            one file to its documents, by the readers above
- ``normalize``       one form for text that looks the same
- ``borders``         where a long text may be cut
- ``deduplicate``     the second copy goes
- ``split``           train or validation, by the hash of the content
- ``shards``          documents to Parquet and back
- ``compressibility`` how far gzip, xz and byte counts predict the validation text
- ``manifest``        the account of it all
- ``prepare``         the way from sources to the folder

Nothing is held whole but one piece of one document and eight bytes per document already seen.
"""
