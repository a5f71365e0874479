"""``RunData`` -> the whole HTML document, as one string that needs no other file."""

from collections.abc import Callable

from homespun.report.classes_chapters import examination_chapter, labelled_chapter
from homespun.report.closing_chapters import (
    commands_chapter,
    configuration_chapter,
    environment_chapter,
    glossary_chapter,
)
from homespun.report.continued_chapter import forgetting_chapter
from homespun.report.data_chapters import corpus_chapter, tokenizer_chapter
from homespun.report.dialogue_chapters import answers_chapter, dialogues_chapter
from homespun.report.document import document, resource
from homespun.report.evaluation_chapter import evaluation_chapter
from homespun.report.facts import Facts, work_out
from homespun.report.image_chapter import images_chapter
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
    ("evaluation", "Evaluation", evaluation_chapter),
    ("speed", "Speed", speed_chapter),
    ("machine", "Machine", environment_chapter),
    ("configuration", "Configuration", configuration_chapter),
    ("go-on", "Go on", commands_chapter),
    ("words", "Words", glossary_chapter),
)


# Of a run that learns from other things than running text: chapters on them take the place of those on text, tokens,
# evaluation and words.
IMAGE_CHAPTERS = tuple(
    ("data", "Images", images_chapter) if chapter[0] == "data" else chapter
    for chapter in CHAPTERS
    if chapter[0] not in ("tokens", "evaluation", "words")
)
LABELLED_CHAPTERS = (
    IMAGE_CHAPTERS[0],
    ("test", "Test", examination_chapter),
    *(("data", "Texts", labelled_chapter) if chapter[0] == "data" else chapter for chapter in IMAGE_CHAPTERS[1:]),
)


DIALOGUE_CHAPTERS = (
    IMAGE_CHAPTERS[0],
    ("answers", "Answers", answers_chapter),
    *(
        ("data", "Conversations", dialogues_chapter) if chapter[0] == "data" else chapter
        for chapter in IMAGE_CHAPTERS[1:]
    ),
)


# Of pairs of texts nothing is asked at the end; their samples say what can be said.
PAIR_CHAPTERS = tuple(chapter for chapter in DIALOGUE_CHAPTERS if chapter[0] != "answers")
CONTINUED_CHAPTERS = (CHAPTERS[0], ("forgetting", "Forgetting", forgetting_chapter), *CHAPTERS[1:])


def chapters_of(run: RunData) -> tuple[tuple[str, str, Chapter], ...]:
    """By what the model learns from."""
    if run.of_images:
        return IMAGE_CHAPTERS
    if text(run.model, "task") == "continued":
        return CONTINUED_CHAPTERS
    if text(run.dialogues, "kind") == "pairs":
        return PAIR_CHAPTERS
    if run.rows or run.dialogues:
        return DIALOGUE_CHAPTERS
    return LABELLED_CHAPTERS if run.labelled else CHAPTERS


def whole_page(run: RunData) -> str:
    """The report of one run."""
    facts, chapters = work_out(run), chapters_of(run)
    return document(
        [(identity, name, write(run, facts)) for identity, name, write in chapters],
        title=run.name,
        maker="report of a run",
        heading=run.name,
        when=badge(run) + escape(created(run)),
        footer=f"Written by homespun from the files in <code>{escape(run.folder)}</code>. This page is one file and "
        "loads\nnothing: keep it, print it, send it on.",
        description=meaning(facts),
        script=resource("page.js"),
    )


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
