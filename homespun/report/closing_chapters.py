"""The last chapters: the machine, the configuration, how to do it again and go on, and the words to know."""

import shlex

from homespun.inference.uses import CONTINUE, NAME, USES
from homespun.report.facts import Facts
from homespun.report.lookup import number, sequence, text
from homespun.report.markup import chapter, code, element, escape, fold, not_yet, table
from homespun.report.overview import ASSISTANT, IMPORTED, brief
from homespun.report.read_run import RunData
from homespun.report.wording import plain, size

COMMANDS = {"preferences": "preferences", "pairs": "pairs"}  # of finetunings, by what they learn from
GLOSSARY = {
    "token": (
        "A piece of text with a number: a word, a part of one, or a single byte. The model reads and writes these."
    ),
    "loss": (
        "How surprised the model is by the true next token, on average: minus the natural logarithm of the "
        "probability it gave to it. In nats per token."
    ),
    "perplexity": "e to the power of the loss: the model is as unsure as if it chose fairly among so many.",
    "bits per byte": (
        "The loss in bits, spread over the bytes of the text. Whatever the tokenizer, it can be compared between "
        "models, and with compression programs."
    ),
    "validation": "Text kept aside and never trained on. Only the loss on it shows what was learned in general.",
    "epoch": "One reading of the whole training text. Beyond a few of them a model begins to learn by heart.",
    "parameter": "One of the numbers that training adjusts.",
    "learning rate": "How far each step moves the parameters. It warms up first and then goes down.",
    "gradient norm": "How strongly the parameters are pulled in one step. Sudden peaks are a sign of trouble.",
    "logit": "The model's raw score for one possible next token, before softmax makes probabilities of all scores.",
}


def environment_chapter(run: RunData, facts: Facts) -> str:
    """The machine and the versions of its programs."""
    if not run.environment:
        return chapter("machine", "The machine", "", not_yet("The environment has not been written down."))
    rows = []
    for key, value in run.environment.items():
        amount = number(run.environment, key)
        words = size(amount) if key.endswith("_bytes") and amount is not None else brief(value)
        rows.append((plain(key.removesuffix("_bytes")), words))
    return chapter("machine", "The machine", "", table(("", "value"), rows, caption="the machine and its programs"))


def configuration_chapter(run: RunData, facts: Facts) -> str:
    """The resolved configuration, whole."""
    lead = "Every setting of this run, with what was left to homespun worked out."
    if not run.configuration:
        return chapter("configuration", "The configuration", lead, not_yet("There is no config.toml yet."))
    block = code(run.configuration, "config.toml")
    inside = fold("config.toml", block) if run.configuration.count("\n") > 60 else block
    return chapter("configuration", "The configuration", lead, inside)


def commands(run: RunData) -> list[tuple[str, str]]:
    """What to type to reproduce this run and to go on from it: (purpose, command)."""
    folder = shlex.quote(str(run.folder))
    again = shlex.quote(f"{run.folder}-again")
    use = USES.get(text(run.model, "task") or "", NAME if run.of_images else CONTINUE)
    uses = use.commands_for(folder, shlex.quote(use.example(first_prompt(run))))
    original = shlex.join(str(word) for word in sequence(run.run, "command"))
    if run.state == IMPORTED:
        anew = f"homespun train SOURCES --config {folder}/config.toml --out {again}"
        found = [("This is how it was imported", original)] if original else []
        return [*found, *uses, ("Train a model of this shape from the beginning", anew)]
    sources = " ".join(shlex.quote(str(source)) for source in sequence(run.run, "sources")) or "SOURCES"
    command, data = "build", "images" if run.of_images else "text"
    if run.labelled:
        command, data = "finetune classify", "base and texts"
    if run.dialogues:
        kind = text(run.dialogues, "kind")
        command = f"finetune {COMMANDS.get(kind or '', 'instructions')}"
        data = f"base and {kind}"
    if text(run.model, "task") == "continued":
        command, data = "finetune texts", "base and texts"
    rebuild = f"homespun {command} {sources} --config {folder}/config.toml --out {again}"
    found = [(f"Make the same model again, from the same {data}", rebuild)]
    if run.assistant:
        uses = [("Talk with the assistant that it has become", f"homespun chat {folder}/{ASSISTANT}"), *uses]
    if original:
        found.append(("This is how it was started", original))
    return [*found, *uses, ("Train on from its last checkpoint", f"homespun train --resume {folder}")]


def first_prompt(run: RunData) -> str:
    """A prompt that suits this text: one that the run itself used."""
    usable = (sample.prompt.strip().splitlines() for sample in run.samples if sample.prompt.strip())
    return next((lines[0][:60] for lines in usable), "Once upon a time")


def commands_chapter(run: RunData, facts: Facts) -> str:
    """Commands to copy."""
    inside = "".join(f"<h3>{escape(purpose)}</h3>{code(command, purpose)}" for purpose, command in commands(run))
    version = text(run.run, "homespun_version")
    if version:
        inside += element("p", escape(f"Made with homespun {version}."), "remark")
    return chapter("go-on", "Do it again, and go on", "", inside)


def glossary_chapter(run: RunData, facts: Facts) -> str:
    """The words of this page."""
    entries = "".join(f"<dt>{escape(word)}</dt><dd>{escape(meaning)}</dd>" for word, meaning in GLOSSARY.items())
    return chapter("words", "Words to know", "", f'<dl class="glossary">{entries}</dl>')
