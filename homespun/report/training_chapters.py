"""The chapters on training: the curves, what the model wrote on its way, and how fast it went."""

import math
from collections.abc import Sequence
from typing import TypeVar

from homespun.report.charts import Axis, Level, Line, line_chart, smooth
from homespun.report.facts import Facts
from homespun.report.markup import card, cards, chapter, element, escape, fold, legend, not_yet, paragraph, table
from homespun.report.read_run import RunData, Sample
from homespun.report.wording import count, decimal, duration, plural, significant, size

WIDE, NARROW, SMALL = (860.0, 400.0), (400.0, 320.0), (420.0, 230.0)
Item = TypeVar("Item")
MOST_MOMENTS = 8
TIME_UNITS = (("days", 86400.0, 3e5), ("hours", 3600.0, 7200.0), ("minutes", 60.0, 120.0), ("seconds", 1.0, -math.inf))
HIGHEST_LEVEL = 1.15  # times the highest point of the curves
NO_PROMPT = '<span class="from-nothing">from nothing</span>'
MOST_SAMPLES_OF_A_MOMENT = 3
MOST_ROWS = 40


def curves_chapter(run: RunData, facts: Facts) -> str:
    """Losses against tokens in three views, learning rate and gradient norm, and the validations as a table."""
    what = "next token" if facts.target == "token" else facts.target
    lead = f"Loss is surprise: how unexpected the true {what} was. Learning is this line going down."
    if not len(run.training) and not len(run.validation):
        return chapter("curves", "How it learned", lead, not_yet("The curves begin with the first steps of training."))
    factor = facts.bits_per_nat_token
    nats = f"nats per {facts.target}"
    views = [(nats, loss_view(run, facts, 1.0, nats, "nats", False))]
    if factor is not None:
        views.insert(0, ("bits per byte", loss_view(run, facts, factor, "bits per byte", "bits", False)))
        views.append(("both axes logarithmic", loss_view(run, facts, factor, "bits per byte", "log", True)))
    inside = tabs([(name, picture) for name, picture in views if picture])
    inside += legend(
        [
            ("training, as logged", "raw"),
            ("training, smoothed", "training"),
            ("validation", "validation"),
        ]
    )
    inside += paragraph(verdict(facts), "remark")
    small = [
        small_chart(run, facts.unit, "learning_rate", "learning rate", "rate"),
        small_chart(run, facts.unit, "gradient_norm", "gradient norm", "gradient"),
    ]
    if any(small):
        inside += f'<div class="multiples">{"".join(f"<figure>{one}</figure>" for one in small if one)}</div>'
    measure = ("bits per byte", "bits_per_byte") if facts.accuracy is None else ("accuracy", "accuracy")
    rows = validation_rows(run, measure[1])
    if rows:
        inside += fold(
            "The validations as a table",
            table(
                ("step", f"{facts.unit}s", nats, measure[0], "time"),
                rows,
                caption="validations",
                numeric=(1, 2, 3, 4),
            ),
        )
    return chapter("curves", "How it learned", lead, inside)


def scaled(values: Sequence[float], factor: float) -> list[float]:
    """Values in another unit."""
    return [value * factor for value in values]


def positions(run: RunData, unit: str) -> tuple[Sequence[float], Sequence[float], str]:
    """What the curves are drawn against: tokens where both series know them, otherwise steps."""
    for name, label in (("tokens", f"{unit}s seen"), ("step", "steps")):
        columns = (run.training[name], run.validation[name])
        if all(not len(column) or any(not math.isnan(value) for value in column) for column in columns):
            return columns[0], columns[1], label
    return run.training["step"], run.validation["step"], "steps"


def loss_view(run: RunData, facts: Facts, factor: float, unit: str, identity: str, logarithmic: bool) -> str:
    """Losses times ``factor``, for wide and for narrow pages."""
    training_x, validation_x, label = positions(run, facts.unit)
    raw = scaled(run.training["loss"], factor)
    lines = [
        Line("logged", training_x, raw, "raw", sets_range=False),
        Line("smoothed", training_x, smooth(raw), "training"),
        Line("validation", validation_x, scaled(run.validation["loss"], factor), "validation", dots=True),
    ]
    bits_to_unit = None if facts.bits_per_nat_token is None else factor / facts.bits_per_nat_token
    unigram = None if facts.unigram_loss is None else facts.unigram_loss * factor
    unigram_name = facts.unigram_name.replace("frequencies", "freq.")
    levels = [Level(unigram_name, unigram, "unigram")] if unigram is not None else []
    for name, value in (("gzip", facts.gzip), ("xz", facts.xz)):
        if value is not None and bits_to_unit is not None:
            levels.append(Level(name, value * bits_to_unit, name))
    if not logarithmic:  # a line far above the curves would press them flat; the headline has its number
        highest = max((value for line in lines for value in line.y if not math.isnan(value)), default=0.0)
        levels = [level for level in levels if level.y <= highest * HIGHEST_LEVEL]
    x_axis = Axis(label, count, logarithmic)
    y_axis = Axis(unit, lambda value: significant(value, 3), logarithmic)
    words = f"Training and validation loss in {unit} against {label}. {verdict(facts)}"
    return responsive(lines, levels, x_axis, y_axis, f"Loss in {unit}", words, f"loss-{identity}")


def responsive(
    lines: Sequence[Line],
    levels: Sequence[Level],
    x_axis: Axis,
    y_axis: Axis,
    title: str,
    words: str,
    identity: str,
) -> str:
    """The same chart drawn for wide pages and for phones; the style sheet shows one of them."""
    pictures = [
        (style, line_chart(lines, x_axis, y_axis, title=title, description=words, identity=f"{identity}-{style}",
                           width=width, height=height, levels=levels))
        for style, (width, height) in (("wide", WIDE), ("narrow", NARROW))
    ]  # fmt: skip
    return "".join(f'<div class="{style}">{picture}</div>' for style, picture in pictures if picture)


def tabs(views: Sequence[tuple[str, str]]) -> str:
    """Views of which one shows at a time, chosen by radio buttons: no script."""
    inside = ""
    for index, (name, _) in enumerate(views):
        checked = " checked" if index == 0 else ""
        inside += f'<input type="radio" name="unit" id="unit-{index}"{checked}>'
        inside += f'<label for="unit-{index}">{escape(name)}</label>'
    inside += "".join(f'<div class="view view-{index}">{picture}</div>' for index, (_, picture) in enumerate(views))
    return f'<figure class="tabs">{inside}</figure>' if views else ""


def verdict(facts: Facts) -> str:
    """What the validation curve says."""
    if facts.validation_loss is None:
        return "There is no validation yet."
    early = " Training ended early: evaluation after evaluation was no better." if facts.ended_early else ""
    if facts.kept_step is not None:
        return (
            f"The weights of step {count(facts.kept_step)} of {count(facts.steps)} were kept: of all evaluations it "
            f"had the lowest validation loss. It is {decimal(facts.validation_loss, 3)} nats per {facts.target}.{early}"
        )
    if facts.memorizing and facts.best_validation_loss is not None:
        best_at = facts.best_validation_tokens
        when = "" if best_at is None else f" after {count(best_at)} {facts.unit}s"
        return (
            f"The validation loss was lowest ({decimal(facts.best_validation_loss, 3)} nats per {facts.target}){when} "
            f"and has risen to {decimal(facts.validation_loss, 3)}: the model has begun to learn by heart. Stop "
            "earlier, or add to its data."
        )
    return (
        f"The last validation loss is {decimal(facts.validation_loss, 3)} nats per {facts.target}, a perplexity of "
        f"{significant(facts.perplexity)}; it is the best of the run or very near it: more training may still "
        f"help.{early}"
    )


def small_chart(run: RunData, unit: str, name: str, title: str, identity: str) -> str:
    """One quantity of training against tokens."""
    training_x, _, label = positions(run, unit)
    values = run.training[name]
    spiky = name != "learning_rate"
    lines = [Line("logged", training_x, values, "raw" if spiky else "training", sets_range=not spiky)]
    if spiky:
        lines.append(Line("smoothed", training_x, smooth(values), "training"))
    y_axis = Axis(title, lambda value: significant(value, 3))
    words = f"{title} against {label}"
    return line_chart(lines, Axis(label, count), y_axis, title=title, description=words, identity=f"small-{identity}",
                      width=SMALL[0], height=SMALL[1])  # fmt: skip


def validation_rows(run: RunData, measure: str) -> list[tuple[str, ...]]:
    """The validations, with one column besides the loss; of very many, evenly chosen ones."""
    series = run.validation
    chosen = spaced(list(range(len(series))), MOST_ROWS)

    def at(name: str, place: int) -> float | None:
        value = series[name][place]
        return None if math.isnan(value) else value

    return [
        (
            count(at("step", place)),
            count(at("tokens", place)),
            decimal(at("loss", place), 4),
            decimal(at(measure, place), 4),
            duration(at("seconds", place)),
        )
        for place in chosen
    ]


def spaced(items: list[Item], most: int, early: float = 1.0) -> list[Item]:
    """At most ``most`` items with the first and the last; ``early`` above 1 takes more of the beginning."""
    if len(items) <= most:
        return items
    places = sorted({round((index / (most - 1)) ** early * (len(items) - 1)) for index in range(most)})
    return [items[place] for place in places]


def samples_chapter(run: RunData, facts: Facts) -> str:
    """What the model wrote, from the first moment to the last."""
    lead = "The same prompts, again and again while it learned. Read from top to bottom."
    if not run.samples:
        return chapter("samples", "What it wrote", lead, not_yet("The first samples come with the first validation."))
    moments: dict[float, list[Sample]] = {}
    for sample in run.samples:
        moments.setdefault(sample.step if sample.step is not None else -1.0, []).append(sample)
    chosen = spaced(list(moments.items()), MOST_MOMENTS, early=1.7)
    items = ""
    for step, samples in chosen:
        head = "" if step < 0 else f"step {count(step)}"
        if samples[0].tokens is not None:
            head += f"{' · ' if head else ''}{count(samples[0].tokens)} {facts.unit}s"
        texts = "".join(sample_text(sample) for sample in samples[:MOST_SAMPLES_OF_A_MOMENT])
        items += f"<li><h3>{escape(head or 'a sample')}</h3>{texts}</li>"
    left_out = len(moments) - len(chosen)
    more = f"{plural(left_out, 'moment')} between these are in samples.jsonl." if left_out else ""
    listed = f'<ol class="samples">{items}</ol>' + (paragraph(more, "remark") if more else "")
    return chapter("samples", "What it wrote", lead, listed)


def sample_text(sample: Sample) -> str:
    """One sample: the prompt set apart from what the model added."""
    written = sample.text.removeprefix(sample.prompt) if sample.prompt else sample.text
    prompt = f'<span class="prompt">{escape(sample.prompt)}</span>' if sample.prompt else NO_PROMPT
    return f'<blockquote dir="auto">{prompt}{escape(written)}</blockquote>'


def speed_chapter(run: RunData, facts: Facts) -> str:
    """Tokens per second over time, operations per second, and memory."""
    lead = "How fast this machine learned; dips are other programs at work, or heat."
    times, speeds = run.training["seconds"], run.training["tokens_per_second"]
    inside = cards(
        [
            card("on average", count(facts.tokens_per_second), f"{facts.unit}s per second"),
            card("useful work", count(facts.flops_per_second), "operations per second"),
            card("memory", size(facts.memory_bytes), "at its highest"),
            card("steps", count(facts.steps), ""),
        ]
    )
    if not any(not math.isnan(value) for value in speeds):
        return chapter("speed", "How fast it went", lead, not_yet("Speed is measured while training."))
    unit, unit_seconds = time_unit(times)
    times = scaled(times, 1 / unit_seconds)
    lines = [
        Line("logged", times, speeds, "raw", sets_range=False),
        Line("smoothed", times, smooth(speeds), "training"),
    ]
    axes = Axis(f"{unit} of training", significant), Axis(f"{facts.unit}s per second", count, from_zero=True)
    title = f"{facts.unit.capitalize()}s per second"
    picture = responsive(lines, [], *axes, title, f"{title} against training time.", "speed")
    return chapter("speed", "How fast it went", lead, inside + element("figure", picture))


def time_unit(seconds: Sequence[float]) -> tuple[str, float]:
    """The unit in which a time axis has round numbers: its name, and its seconds."""
    longest = max((value for value in seconds if not math.isnan(value)), default=0.0)
    return next((unit, size) for unit, size, least in TIME_UNITS if longest >= least)
