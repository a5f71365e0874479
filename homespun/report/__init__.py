"""The room of pages for people: in comes a run folder, out goes one ``report.html`` that needs nothing else.

Read it in this order: ``read_run`` (folder -> ``RunData``), ``facts`` (``RunData`` -> the numbers people ask
for), ``charts`` and ``diagram`` (numbers -> SVG), ``markup`` (text -> safe HTML), the chapters (``overview``,
``data_chapters``, ``model_chapter``, ``training_chapters``, ``closing_chapters``), ``page`` (chapters -> document),
``write`` (document -> file). ``terminal`` says the same in a few lines of plain text, or as a dictionary.
"""
