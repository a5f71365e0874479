"""Chapters -> one HTML document that needs no other file.

The content security policy in its head forbids every load from outside and every script but the page's own (named by
its SHA-256), so that not even a fault in escaping could make a hostile text do anything.
"""

import base64
import hashlib
from collections.abc import Sequence
from importlib.resources import files

from homespun.report.markup import element, escape


def document(
    chapters: Sequence[tuple[str, str, str]],
    *,
    title: str,
    maker: str,
    heading: str,
    when: str,
    footer: str,
    description: str = "",
    style: str = "",
    script: str = "",
) -> str:
    """The whole page from its chapters: anchor, name of the link, HTML.

    ``when`` and ``footer`` are HTML, the other words plain. ``style`` is CSS beyond ``page.css``; ``script`` is the
    only one that may run.
    """
    links = "".join(f'<li><a href="#{identity}">{escape(name)}</a></li>' for identity, name, _ in chapters)
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    scripts = f" script-src 'sha256-{digest}';" if script else ""
    policy = f"default-src 'none'; style-src 'unsafe-inline';{scripts} form-action 'none'"
    about = f'<meta name="description" content="{escape(description)}">\n' if description else ""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="color-scheme" content="light dark">
{about}<title>{escape(title)} · homespun</title>
<style>
{resource("page.css")}{style}</style>
</head>
<body>
<a class="skip-link" href="#main">To the content</a>
<header>
<p class="maker">homespun · {escape(maker)}</p>
<h1>{escape(heading)}</h1>
<p class="when">{when}</p>
<nav aria-label="chapters"><ol>{links}</ol></nav>
</header>
<main id="main">
{"".join(inside for _, _, inside in chapters)}
</main>
<footer><p>{footer}</p></footer>
{element("script", script) + chr(10) if script else ""}</body>
</html>
"""


def resource(name: str) -> str:
    """A file beside this one: the style sheet, the script of the charts."""
    return files("homespun.report").joinpath(name).read_text("utf-8")
