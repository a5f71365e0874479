"""What a document is: a text, where it came from, and a name made of its content.

In: a text and its origin. Out: ``Document``, the one thing that all readers yield and all later steps take.
"""

import hashlib
from dataclasses import dataclass, field, replace
from typing import Any

ID_BYTES = 16


def content_id(text: str) -> str:
    """Hexadecimal 128-bit BLAKE2b (RFC 7693) of the UTF-8 text: equal texts, equal ids, on every machine.

    A lone surrogate, which UTF-8 cannot hold, is hashed as its three-byte form instead of failing.
    """
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=ID_BYTES).hexdigest()


@dataclass(frozen=True)
class Document:
    """One text with its origin.

    ``source`` names the file (the folder's name and the path inside it, never an absolute path),
    ``id`` is ``content_id(text)``, ``metadata`` holds what JSON can hold.
    """

    text: str
    source: str
    id: str
    url: str | None = None
    language: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)

    def with_text(self, text: str, **metadata: Any) -> "Document":
        """The same origin with another text, and so another id; ``metadata`` is added to what there is."""
        return replace(self, text=text, id=content_id(text), metadata={**self.metadata, **metadata})


def make_document(text: str, source: str, **details: Any) -> Document:
    """A document named by its content; ``details`` are ``url``, ``language`` and ``metadata``."""
    return Document(text=text, source=source, id=content_id(text), **details)
