"""Conversations, and answers of which one is preferred, from files of many forms to two splits in one form.

What comes in: JSON or JSON-lines files as they are passed around: Alpaca's, OpenAI's, ShareGPT's. What goes out: a
folder with ``train.jsonl``, ``validation.jsonl`` and a ``manifest.json`` that counts what was left out. In reading
order:

- ``settings``   the knobs (``ConversationsConfig``, ``PairsConfig``, ``PreferencesConfig``)
- ``dialogue``   a conversation, a pair of answers, and what is none
- ``forms``      a JSON object of any known form to one of these
- ``asked``      a text and what is made of it, as a conversation
- ``read``       a file to them, one by one
- ``storage``    them to a folder of splits, and back

and beside them, for who has no such files:

- ``from_python``       functions and their documentation to conversations
- ``python_questions``  sources to a folder of these, as files

Files of any size: nothing is held but a few bytes for each conversation.
"""
