"""The first chapters of the report: what came out, in one sentence and a few numbers; and the plan against it."""

from homespun.report.facts import Facts, ratio
from homespun.report.lookup import as_number, find, number, sequence, text
from homespun.report.markup import bars, card, cards, chapter, element, escape, fold, not_yet, paragraph, table
from homespun.report.read_run import RunData
from homespun.report.wording import MINUS, UNKNOWN, count, decimal, duration, percent, plain, significant, size, whole

STAGES = {
    "corpus": "reading its texts",
    "images": "reading its images",
    "labelled": "reading its texts and labels",
    "conversations": "reading its conversations",
    "pairs": "reading its pairs of texts",
    "preferences": "reading its preferences",
    "tokenizer": "learning its tokens",
    "tokens": "turning text into tokens",
    "training": "training",
}
ASSISTANT = "assistant"  # the run within that learned to answer
IMPORTED = "imported"
BITS_OF_A_BYTE = 8.0
OF_ANSWERS = "answer token"  # what an assistant's loss is told for each of
# By target: what a model does that is right or wrong about each, and who has an easier way.
ANSWERS = {
    "image": ("names {} of the images rightly that it has never seen", "Who always names the most frequent class"),
    "text": ("sorts {} of the texts rightly that it has never seen", "Who always says the most frequent class"),
    "pair of answers": ("leans to the preferred answer in {} of the pairs that it has never seen", "Who tosses a coin"),
    "masked token": (
        "tells {} of the masked tokens rightly, in text that it has never seen", "Who always says the commonest one"
    ),
}  # fmt: skip


def meaning(facts: Facts) -> str:
    """The result in plain words."""
    bits = facts.bits_per_byte
    if facts.accuracy is not None:
        told, plain_guess = ANSWERS.get(facts.target, ANSWERS["image"])
        guess = "" if facts.most_frequent is None else f" {plain_guess} gets {percent(facts.most_frequent)}."
        return f"Your model {told.format(percent(facts.accuracy))}.{guess}"
    if facts.target == OF_ANSWERS and facts.validation_loss is not None:
        unsure = f"as unsure as a fair choice among {significant(facts.perplexity)} tokens"
        right = f" {percent(facts.exact_match)} of its short answers are right to the letter."
        return (
            f"At each token of an answer to a question that it has never seen, your model is {unsure}."
            f"{'' if facts.exact_match is None else right}"
        )
    if bits is None:
        return "The model has not been measured on held-out text yet."
    opening = f"Your model needs {decimal(bits)} bits for each byte of text it has never seen"
    rivals = [(name, value) for name, value in (("gzip", facts.gzip), ("xz", facts.xz)) if value is not None]
    if not rivals:
        return f"{opening}; stored as it is, a byte takes 8."
    others = " and ".join(f"{name} needs {decimal(value)}" for name, value in rivals)
    name, best = min(rivals, key=lambda rival: rival[1])
    if bits < best:
        verdict = f"It predicts that text better than {name} can squeeze it, by {percent(1 - bits / best)}."
    else:
        verdict = f"It has not caught up with {name} yet: more training, or more text, brings the number down."
    return f"{opening}; {others}. {verdict}"


def headline_chapter(run: RunData, facts: Facts) -> str:
    """State of the run, the sentence, the comparison and the cards."""
    inside = "" if run.finished else unfinished(run)
    if run.unreadable:
        inside += element("p", f"<strong>Could not read:</strong> {escape('; '.join(run.unreadable))}", "note warning")
    if facts.bits_per_byte is None and facts.accuracy is None and facts.target != OF_ANSWERS:
        inside += not_yet("The headline appears after the first validation.")
    else:
        inside += paragraph(meaning(facts), "meaning")
    if facts.bits_per_byte is not None:
        inside += comparison(facts)
    inside += leads_on(run)
    inside += cards(
        [
            *(text_cards(facts) if facts.accuracy is None else answer_cards(facts)),
            card("parameters", count(facts.parameters), "numbers the model learned"),
            card(f"{facts.unit}s seen", count(facts.tokens_seen), epochs_in_words(facts)),
            card("training time", duration(facts.seconds_training), whole_time(facts)),
            card("speed", count(facts.tokens_per_second), f"{facts.unit}s per second"),
        ]
    )
    return chapter("result", "What came out", "", inside)


def leads_on(run: RunData) -> str:
    """To the assistant that the model has become."""
    if not run.assistant:
        return ""
    before, after = number(run.assistant, "before", "loss"), number(run.assistant, "validation_loss")
    words = f"{decimal(before)} nats per answer token before, {decimal(after)} after" if before and after else ""
    link = f'<a href="{ASSISTANT}/report.html">learned to answer questions</a>'
    return element("p", f"Afterwards it {link}: {words}." if words else f"Afterwards it {link}.", "note")


def text_cards(facts: Facts) -> list[str]:
    """How well text is predicted."""
    return [
        card("validation", decimal(facts.bits_per_byte), "bits per byte"),
        *said_cards(facts),
        card("perplexity", significant(facts.perplexity), "as unsure as a fair choice among this many tokens"),
    ]


def said_cards(facts: Facts) -> list[str]:
    """Of a model that answers."""
    if facts.target != OF_ANSWERS:
        return []
    return [
        card("validation", decimal(facts.validation_loss, 3), f"nats per {facts.target}"),
        card("before", decimal(facts.loss_before, 3), "the same, of the base"),
        card("short answers", percent(facts.exact_match), "right to the letter"),
    ]


def answer_cards(facts: Facts) -> list[str]:
    """How often the model is right."""
    found = [
        card("accuracy", percent(facts.accuracy), f"of {facts.target}s it has never seen"),
        card("validation", decimal(facts.validation_loss, 3), f"nats per {facts.target}"),
    ]
    if facts.next_sentence_accuracy is not None:
        found.append(card("next text", percent(facts.next_sentence_accuracy), "told from a chance one; by chance 50 %"))
    return found


def epochs_in_words(facts: Facts) -> str:
    """How often what there is to train on was read."""
    if facts.epochs is None:
        return "in training"
    what = "text" if facts.unit == "token" else f"{facts.unit}s"
    if facts.epochs < 1:
        return f"{percent(facts.epochs)} of the training {what}"
    return f"the training {what} {significant(facts.epochs, 2)} times"


def whole_time(facts: Facts) -> str:
    """The time of all stages."""
    return f"{duration(facts.seconds_total)} with all stages" if facts.seconds_total is not None else ""


def unfinished(run: RunData) -> str:
    """What to know about a run that goes on, or was stopped, or never trained."""
    if run.state == IMPORTED:
        return element("p", "<strong>These weights were imported:</strong> no training is told of here.", "note")
    doing = STAGES.get(run.state)
    state = f"it was {doing}" if doing else f"its state was “{run.state}”"
    words = f"when this page was written {state}. Chapters that have nothing to show say so."
    return element("p", f"<strong>This run is not finished:</strong> {escape(words)}", "note")


def comparison(facts: Facts) -> str:
    """Bars: bits per byte of everything that can be compared."""
    rows = [("uncompressed", BITS_OF_A_BYTE, "8 bits", "plain")]
    for name, value, style in (
        (facts.unigram_name, facts.unigram, "unigram"),
        ("gzip", facts.gzip, "gzip"),
        ("xz", facts.xz, "xz"),
        ("this model", facts.bits_per_byte, "model"),
    ):
        if value is not None:
            rows.append((name, value, f"{decimal(value)} bits", style))
    remark = paragraph(
        "Bits for one byte of the validation text; shorter is better. gzip and xz start from nothing, the model starts "
        "from its training text; its own size is not counted.",
        "remark",
    )
    return f'<figure class="comparison">{bars(rows, "bits per byte, shorter is better")}{remark}</figure>'


def plan_chapter(run: RunData, facts: Facts) -> str:
    """Expected against reached, and why each size was chosen."""
    lead = "What homespun expected of this machine and this text before it began, and what came of it."
    if not run.plan:
        waiting = not_yet("The plan is made once the text is read and the machine measured.")
        return chapter("plan", "The plan", lead, waiting)
    minutes = number(run.plan, "minutes")
    inside = paragraph(f"Asked for: {duration(minutes * 60)}.") if minutes is not None and minutes >= 0 else ""
    rows = expected_rows(run, facts)
    if rows:
        inside += table(
            ("", "expected", "reached", "difference"),
            rows,
            caption="expected against reached",
            numeric=(1, 2, 3),
        )
    choices = [
        (text(choice, "key") or "", brief(find(choice, "value")), text(choice, "why") or "")
        for choice in sequence(run.plan, "choices")
        if isinstance(choice, dict)
    ]
    if choices:
        inside += "<h3>Why these sizes</h3>"
        inside += table(("setting", "value", "why"), choices, caption="choices of the plan", style="why")
    measured = run.plan.get("measured")
    if isinstance(measured, dict) and measured:
        rows = [(plain(str(key)), brief(value)) for key, value in measured.items()]
        inside += fold("What was measured on this machine", table(("", "measured"), rows, caption="measured"))
    return chapter("plan", "The plan", lead, inside)


def expected_rows(run: RunData, facts: Facts) -> list[tuple[str, str, str, str]]:
    """One row per number that the plan foretold."""
    kinds = (
        ("validation bits per byte", "validation_bits_per_byte", facts.bits_per_byte, decimal),
        (f"validation loss, nats per {facts.target}", "validation_loss", facts.validation_loss, decimal),
        (f"{facts.unit}s per second", "tokens_per_second", facts.tokens_per_second, count),
        (f"{facts.unit}s to train on", "training_tokens", facts.tokens_seen, count),
        ("training time", "training_seconds", facts.seconds_training, duration),
        ("parameters", "parameters", facts.parameters, count),
        ("memory", "memory_bytes", facts.memory_bytes, size),
    )
    rows = []
    for name, key, reached, write in kinds:
        expected = number(run.plan, "expected", key)
        if expected is not None:
            rows.append((name, write(expected), write(reached), difference(expected, reached)))
    return rows


def difference(expected: float, reached: float | None) -> str:
    """How far the reached number lies from the expected one, in percent of it."""
    share = ratio(reached, expected)
    if share is None:
        return ""
    if abs(share - 1) < 0.005:
        return "as expected"
    sign = "+" if share > 1 else MINUS
    return f"{sign}{percent(abs(share - 1))}" if share < 10 else f"{significant(share, 2)} times"


def brief(value: object) -> str:
    """A value of a JSON file in a table cell."""
    if value is None:
        return UNKNOWN
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        known = as_number(value)
        if known is None:
            return "not a finite number"
        if known != int(known):
            return significant(known, 4)
        return str(int(known)) if abs(known) < 10_000 else whole(known) if abs(known) < 1e15 else significant(known)
    if isinstance(value, list | tuple):
        return ", ".join(brief(item) for item in value[:12])
    return str(value)[:300]
