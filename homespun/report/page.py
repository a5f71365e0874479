"""``RunData`` -> the whole HTML document, as one string that needs no other file.

The content security policy in its head forbids every load from outside and every script but ours (named by its
SHA-256), so that not even a fault in escaping could make a hostile text do anything.
"""

import base64
import hashlib
from collections.abc import Callable
from importlib.resources import files

from homespun.report.closing_chapters import (
    commands_chapter,
    configuration_chapter,
    environment_chapter,
    glossary_chapter,
)
from homespun.report.data_chapters import corpus_chapter, tokenizer_chapter
from homespun.report.facts import Facts, work_out
from homespun.report.lookup import text
from homespun.report.markup import escape
from homespun.report.model_chapter import model_chapter
from homespun.report.overview import headline_chapter, meaning, plan_chapter
from homespun.report.read_run import RunData
from homespun.report.training_chapters import curves_chapter, samples_chapter, speed_chapter

Chapter = Callable[[RunData, Facts], str]

CHAPTERS: tuple[tuple[str, str, Chapter], ...] = (
    ("result", "Result", headline_chapter),
    ("plan", "Plan", plan_chapter),
    ("data", "Text", corpus_chapter),
    ("tokens", "Tokens", tokenizer_chapter),
    ("model", "Model", model_chapter),
    ("curves", "Learning", curves_chapter),
    ("samples", "Samples", samples_chapter),
    ("speed", "Speed", speed_chapter),
    ("machine", "Machine", environment_chapter),
    ("configuration", "Configuration", configuration_chapter),
    ("go-on", "Go on", commands_chapter),
    ("words", "Words", glossary_chapter),
)


def whole_page(run: RunData) -> str:
    """The report of one run."""
    facts = work_out(run)
    style = files("homespun.report").joinpath("page.css").read_text("utf-8")
    script = files("homespun.report").joinpath("page.js").read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; form-action 'none'"
    links = "".join(f'<li><a href="#{identity}">{escape(name)}</a></li>' for identity, name, _ in CHAPTERS)
    chapters = "".join(write(run, facts) for _, _, write in CHAPTERS)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="color-scheme" content="light dark">
<meta name="description" content="{escape(meaning(facts))}">
<title>{escape(run.name)} · homespun</title>
<style>
{style}</style>
</head>
<body>
<a class="skip-link" href="#main">To the content</a>
<header>
<p class="maker">homespun · report of a run</p>
<h1>{escape(run.name)}</h1>
<p class="when">{badge(run)}{escape(created(run))}</p>
<nav aria-label="chapters"><ol>{links}</ol></nav>
</header>
<main id="main">
{chapters}
</main>
<footer><p>Written by homespun from the files in <code>{escape(run.folder)}</code>. This page is one file and loads
nothing: keep it, print it, send it on.</p></footer>
<script>{script}</script>
</body>
</html>
"""


def badge(run: RunData) -> str:
    """The state of the run."""
    return f'<span class="badge {"done" if run.finished else "open"}">{escape(run.state)}</span>'


def created(run: RunData) -> str:
    """When the run began, as people write it."""
    moment = text(run.run, "created")
    if not moment:
        return ""
    zone = " UTC" if moment.endswith(("+00:00", "Z")) else ""
    return f"begun {moment[:16].replace('T', ' at ')}{zone}"
