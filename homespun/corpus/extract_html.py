"""A web page to its text: the main content, or all visible text where no main content is found.

In: HTML as text. Out: plain text with paragraphs, lists and preformatted blocks in lines of their own.
Parsing and the main-content rules are resiliparse's (Bevendorff et al., Elastic ChatNoir, ECIR 2018).
"""

import re

DECLARED_ENCODING = re.compile(
    rb"<(?:meta|\?xml)[^>]{0,200}?(?:charset|encoding)\s*=\s*[\"']?\s*([A-Za-z0-9_.:-]+)", re.IGNORECASE
)


def extract_text(html: str) -> str:
    """The main content of a page; all visible text when there is none; empty when nothing is visible."""
    from resiliparse.extract.html2text import extract_plain_text

    main = extract_plain_text(html, main_content=True, preserve_formatting=True)
    return main if main.strip() else extract_plain_text(html, main_content=False, preserve_formatting=True)


def declared_encoding(head: bytes) -> str | None:
    """The encoding that a page names in its first bytes (``<meta charset=...>`` or ``<?xml ... ?>``), if any."""
    found = DECLARED_ENCODING.search(head)
    return found.group(1).decode("ascii").lower() if found else None
