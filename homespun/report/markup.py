"""Text -> safe HTML: escaping, and the few building blocks that every chapter of the page uses.

Everything that comes from a file goes through ``escape`` exactly once. Functions that take ``words`` escape them;
functions that take ``inside`` take HTML that is already safe.
"""

import html
import re
from collections.abc import Iterable, Sequence

from homespun.report.wording import UNKNOWN

UNSHOWABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
BIDI_CONTROLS = re.compile("[\u202a-\u202e\u2066-\u2069]")


def showable(words: str) -> str:
    """Text that HTML can carry: control characters as their pictures, lone surrogates and reordering marks replaced."""
    pictured = UNSHOWABLE.sub(lambda match: chr(0x2400 + ord(match[0])) if ord(match[0]) < 0x20 else "\ufffd", words)
    return BIDI_CONTROLS.sub("\ufffd", pictured).encode("utf-8", "replace").decode("utf-8")


def escape(words: object) -> str:
    """Any value as text that is safe inside HTML elements and quoted attributes."""
    return html.escape(showable(str(words)), quote=True)


def element(tag: str, inside: str, style: str = "", **attributes: str) -> str:
    """An element around safe HTML; attribute values are escaped."""
    more = "".join(f' {key.replace("_", "-")}="{escape(value)}"' for key, value in attributes.items())
    kind = f' class="{style}"' if style else ""
    return f"<{tag}{kind}{more}>{inside}</{tag}>"


def paragraph(words: str, style: str = "") -> str:
    """A paragraph of plain words."""
    return element("p", escape(words), style)


def not_yet(what: str) -> str:
    """What stands where a run has not written something so far."""
    return element("p", f"<strong>Not yet.</strong> {escape(what)}", "not-yet")


def chapter(identity: str, title: str, lead: str, inside: str) -> str:
    """One numbered chapter of the report; ``lead`` is its first sentence, in plain words."""
    opening = f"<h2>{escape(title)}</h2>" + (paragraph(lead, "lead") if lead else "")
    return f'<section id="{identity}" class="chapter">{opening}{inside}</section>'


def card(title: str, value: str, remark: str = "") -> str:
    """A headline number with its name and a remark; nothing where the number is not known."""
    if value == UNKNOWN:
        return ""
    small = f'<span class="remark">{escape(remark)}</span>' if remark else ""
    return f'<div class="card"><dt>{escape(title)}</dt><dd>{escape(value)}{small}</dd></div>'


def cards(inside: Iterable[str]) -> str:
    """A row of cards; nothing where there are none."""
    joined = "".join(inside)
    return element("dl", joined, "cards") if joined else ""


def table(
    heads: Sequence[str], rows: Iterable[Sequence[str]], *, caption: str, numeric: Sequence[int] = (), style: str = ""
) -> str:
    """A table; cells are plain words; ``numeric`` names the columns that are set to the right."""

    def kind(index: int) -> str:
        return ' class="number"' if index in numeric else ""

    head = "".join(f'<th scope="col"{kind(index)}>{escape(words)}</th>' for index, words in enumerate(heads))
    body = "".join(
        "<tr>"
        + "".join(
            f'<th scope="row">{escape(words)}</th>' if index == 0 else f"<td{kind(index)}>{escape(words)}</td>"
            for index, words in enumerate(row)
        )
        + "</tr>"
        for row in rows
    )
    hidden = f'<caption class="unseen">{escape(caption)}</caption>'
    return element(
        "div",
        f"<table>{hidden}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>",
        f"scroll {style}".strip(),
        tabindex="0",
        role="region",
        aria_label=caption,
    )


def bars(rows: Iterable[tuple[str, float, str, str]], caption: str) -> str:
    """Horizontal bars: name, length, what is written at the end, colour class. The longest fills the width."""
    kept = list(rows)
    longest = max((length for _, length, _, _ in kept), default=0.0)
    inside = ""
    for name, length, words, style in kept:
        share = 100 * length / longest if longest > 0 else 0.0
        inside += (
            f'<li><span class="bar-name">{escape(name)}</span><span class="bar-track" aria-hidden="true">'
            f'<span class="bar bar-{style}" style="width:{min(max(share, 0.4), 100):.1f}%"></span></span>'
            f'<span class="bar-value">{escape(words)}</span></li>'
        )
    return f'<ul class="bars" aria-label="{escape(caption)}">{inside}</ul>'


def fold(title: str, inside: str) -> str:
    """Something the reader can open."""
    return f"<details><summary>{escape(title)}</summary>{inside}</details>"


def code(words: str, label: str) -> str:
    """A block of commands or configuration."""
    return f'<pre class="code" tabindex="0" aria-label="{escape(label)}"><code>{escape(words)}</code></pre>'


def legend(entries: Iterable[tuple[str, str]]) -> str:
    """Names and colours of the lines of a chart."""
    inside = "".join(f'<li><span class="key key-{style}"></span>{escape(name)}</li>' for name, style in entries)
    return f'<ul class="legend">{inside}</ul>'
