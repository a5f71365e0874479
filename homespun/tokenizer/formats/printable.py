"""Bytes as printable characters, one for one: how GPT-2's files and Hugging Face's write tokens.

In: bytes. Out: text without a space or a control character in it, and back. 188 bytes are their own character in
Latin-1; the other 68 get the characters from U+0100 on, so that a space is ``Ġ`` and a newline ``Ċ``.

Source: ``bytes_to_unicode`` in OpenAI's gpt-2, ``src/encoder.py`` (MIT licence).
"""

from homespun.tokenizer.settings import BYTES

OWN_CHARACTER = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
OTHERS = [byte for byte in range(BYTES) if byte not in OWN_CHARACTER]

# In this order GPT-2 numbers its bytes: those that are their own character first.
BYTES_IN_ORDER = OWN_CHARACTER + OTHERS
BYTE_OF = {chr(byte): byte for byte in OWN_CHARACTER} | {chr(BYTES + place): byte for place, byte in enumerate(OTHERS)}
CHARACTERS = {byte: character for character, byte in BYTE_OF.items()}
# For str.translate on text in which a character is a byte (Latin-1).
LATIN_TO_PRINTABLE = str.maketrans({chr(byte): character for byte, character in CHARACTERS.items()})


def printable(raw: bytes) -> str:
    """Write bytes as printable characters."""
    return raw.decode("latin-1").translate(LATIN_TO_PRINTABLE)
