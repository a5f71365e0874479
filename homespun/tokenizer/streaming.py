"""Ids, one by one -> text that is safe to print at once: never half a character.

In: the ids that a model writes. Out: the text that they complete; joined it is ``Tokenizer.decode`` of all ids.

A token is a run of bytes and may end inside a character: one of the three bytes of a Bengali letter, or of the four of
an emoji. Those bytes wait until the rest comes. Bytes that can no longer become a character turn into U+FFFD at the
places where ``bytes.decode("utf-8", "replace")`` puts them.
"""

import codecs

from homespun.tokenizer.tokenizer import Tokenizer


class StreamDecoder:
    """Decodes one stream of ids; make a new one for each."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        """Start with no bytes waiting."""
        self._tokenizer = tokenizer
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, token: int) -> str:
        """Take one id and return the text that is now complete, perhaps none; out of range is a ``HomespunError``."""
        return self._decoder.decode(self._tokenizer.token_bytes(token))

    def finish(self) -> str:
        """End the stream: what waits for bytes that never came is U+FFFD."""
        return self._decoder.decode(b"", final=True)
