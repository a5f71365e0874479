"""What is learned of conversations, token by token, from the file to the batch and its gradient.

The oracle knows nothing of rows, templates or packing: it takes the words of a conversation as they stand in the file,
spells out what the model is to read, and marks the bytes of the answers and the tokens that end them.
"""

import json
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from homespun.batches.answer_rows import AnswerRows, Cropped, write_manifest, write_rows
from homespun.batches.batch import IGNORED, Batch
from homespun.batches.conversations import conversation_rows
from homespun.batches.like_length import LikeLengthBatches, every_row
from homespun.dialogues.dialogue import Conversation, Message
from homespun.dialogues.settings import ConversationsConfig
from homespun.dialogues.storage import SPLITS, read_split, write_dialogues
from homespun.models.registry import build_model
from homespun.models.settings import AssistantConfig, GPTConfig
from homespun.pipeline.prepare_dialogues import rows_of_conversations
from homespun.tokenizer.chat import with_chat
from homespun.tokenizer.special import END_OF_TURN, START_OF_TURN
from homespun.tokenizer.tokenizer import Tokenizer
from homespun.training.answers import Answers

TOKENIZER = with_chat(Tokenizer("gpt2", [(104, 101), (108, 108), (32, 116), (258, 256), (105, 110), (10, 10)]))
START, END = (TOKENIZER.special_tokens[name] for name in (START_OF_TURN, END_OF_TURN))
Said = tuple[tuple[str, str], ...]
Learned = tuple[tuple[int, ...], tuple[bool, ...]]  # ids of a conversation, and which of them are to be learned


def spelled(said: Said) -> Learned:
    """All of a conversation, without the line end behind its last message."""
    ids: list[int] = []
    marks: list[bool] = []
    for role, content in said:
        head, body = TOKENIZER.encode(f"{role}\n"), TOKENIZER.encode(content)
        ids += [START, *head, *body, END, *TOKENIZER.encode("\n")]
        marks += [False] * (1 + len(head)) + [role == "assistant"] * (len(body) + 1) + [False]
    return tuple(ids[:-1]), tuple(marks[:-1])


def fitted(said: Said, room: int) -> Learned | None:
    """The naive way to make one fit into ``room`` tokens: try again with one question and its answer less."""
    while True:
        ids, marks = spelled(said)
        first = int(said[0][0] == "system")
        if len(ids) <= room or len(said) - first <= 2:
            return (ids[:room], marks[:room]) if any(marks[:room]) else None
        said = (*said[:first], *said[first + 2 :])


def rows_in(folder: Path, entries: Iterable[Conversation], room: int) -> AnswerRows:
    """As the preparation of a run makes them: rows whose inputs have ``room`` tokens."""
    folder.mkdir(parents=True, exist_ok=True)
    cropped = Cropped()
    split = write_rows(rows_of_conversations(entries, TOKENIZER, room, False, cropped), folder, "train")
    write_manifest(folder, {"train": split}, cropped)
    return AnswerRows(folder, "train")


def told_by(batch: Batch) -> Counter[Learned]:
    """What a batch teaches: each of its conversations, read off its tensors alone."""
    assert batch.documents is not None and batch.places is not None
    found: Counter[Learned] = Counter()
    for row in range(len(batch.inputs)):
        wanted = [
            (place, target)
            for place, target in zip(batch.places[row].tolist(), batch.targets[row].tolist(), strict=True)
            if target != IGNORED
        ]
        assert len({place for place, _ in wanted}) == len(wanted)  # nothing is learned twice
        targets, taken = dict(wanted), 0
        for document in range(1, int(batch.documents[row].max()) + 1):
            places = (batch.documents[row] == document).nonzero().flatten().tolist()
            assert places == list(range(places[0], places[-1] + 1))
            ids = batch.inputs[row, places].tolist()
            marks = [place in targets for place in places]
            for here, following in enumerate(ids[1:]):  # a target is the token that comes next
                assert not marks[here] or targets[places[here]] == following
            # The last token of a conversation is no input, only a target: it is always to be learned.
            assert marks[-1]
            found[(*ids, targets[places[-1]]), (False, *marks)] += 1
            taken += sum(marks)
        assert taken == len(wanted)  # no target outside of a conversation
    return found


def check(entries: Sequence[Conversation], room: int, packed: bool, folder: Path) -> None:
    """Each conversation is in the batches once, with all of its answers and with nothing else to be learned."""
    wanted = Counter(
        fit for one in entries if (fit := fitted(tuple((role, text) for role, text in one.messages), room + 1))
    )
    if not wanted:
        assert not list(rows_of_conversations(entries, TOKENIZER, room, False, Cropped()))
        return
    rows = rows_in(folder, entries, room)
    found: Counter[Learned] = Counter()
    for batch in every_row(conversation_rows(rows, room, packed), 3):
        assert batch.inputs.shape[1] <= room
        found += told_by(batch)
    assert found == wanted


TEXTS = st.text(st.sampled_from("helo the in\n<|im_end|>ক"), min_size=1, max_size=14)
PAIRS = st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=3)


def conversation_of(system: str | None, pairs: list[tuple[str, str]]) -> Conversation:
    said = [Message(role, text) for pair in pairs for role, text in zip(("user", "assistant"), pair, strict=True)]
    return Conversation(tuple(([Message("system", system)] if system else []) + said))


@settings(deadline=None, max_examples=60)
@given(
    talks=st.lists(st.tuples(st.one_of(st.none(), TEXTS), PAIRS), min_size=1, max_size=5),
    room=st.integers(20, 200),
    packed=st.booleans(),
)
def test_every_token_of_every_answer_is_learned_once_and_nothing_else(
    talks: list[tuple[str | None, list[tuple[str, str]]]],
    room: int,
    packed: bool,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("rows", numbered=True)
    check([conversation_of(*talk) for talk in talks], room, packed, folder)


def real_entries(name: str, folder: Path, keep: int) -> list[Conversation]:
    """Of the shared data, as a run splits it; both splits."""
    if "HOMESPUN_DATA" not in os.environ:
        pytest.skip(f"HOMESPUN_DATA is not set: {name}")
    path = folder / "instructions.json"
    entries = json.loads(Path(os.environ["HOMESPUN_DATA"], name).read_text("utf-8"))
    path.write_text(json.dumps(entries[:keep]), "utf-8")
    write_dialogues([path], ConversationsConfig(), folder / "conversations")
    found = [one for split in SPLITS for one in read_split(folder / "conversations", split)]
    # What the oracle marks is what the file calls an answer.
    answers = {entry["output"].strip() for entry in entries}
    assert all(one.messages[-1].role == "assistant" and one.messages[-1].content in answers for one in found)
    questions = {f"{entry['instruction'].strip()}\n\n{entry['input'].strip()}".strip() for entry in entries}
    assert all(
        one.messages[0] == ("user", one.messages[0].content) and one.messages[0].content in questions for one in found
    )
    return found


@pytest.mark.parametrize(("room", "packed"), [(1024, True), (96, True), (96, False)])
def test_real_instructions_token_by_token(room: int, packed: bool, tmp_path: Path) -> None:
    entries = real_entries("instruction-data/instruction-data.json", tmp_path, 1100)
    assert len(entries) > 1000
    check(entries, room, packed, tmp_path / "rows")


BODY = GPTConfig(vocabulary_size=TOKENIZER.vocabulary_size, context=128, layers=2, width=32, heads=2)
MADE_UP = [
    conversation_of("be kind", [("hello", "the tin"), ("how?", "in the hell")]),
    conversation_of(None, [("then?", "no")]),
    conversation_of(None, [("in\n\nthe", "<|im_end|>"), ("e", "he"), ("l", "ll")]),
]


def loss_of(model: torch.nn.Module, batch: Batch) -> torch.Tensor:
    return Answers().loss(model, batch)[0]


@pytest.mark.parametrize("packed", [True, False])
def test_only_what_precedes_an_answer_token_has_a_gradient(packed: bool, tmp_path: Path) -> None:
    """The last activations: where no answer token is told from them the loss does not know them."""
    torch.manual_seed(1)
    model = build_model(AssistantConfig(body=BODY, packed=packed, length=128))
    several = conversation_rows(rows_in(tmp_path / "rows", MADE_UP, 128), 128, packed)
    (batch,) = every_row(several, 9)
    kept: list[torch.Tensor] = []
    hidden = model.body.hidden

    def keeping(*arguments: object, **named: object) -> torch.Tensor:
        kept.append(hidden(*arguments, **named))
        kept[0].retain_grad()
        return kept[0]

    model.body.hidden = keeping
    loss_of(model, batch).backward()
    (activations,) = kept
    assert activations.grad is not None and batch.places is not None
    touched = (activations.grad.abs().sum(-1) > 0).nonzero().tolist()
    wanted = [
        [row, place]
        for row, (places, targets) in enumerate(zip(batch.places.tolist(), batch.targets.tolist(), strict=True))
        for place, target in zip(places, targets, strict=True)
        if target != IGNORED
    ]
    assert touched == sorted(wanted)
    assert len(wanted) == sum(sum(spelled(one.messages)[1]) for one in MADE_UP)


def test_what_the_user_says_is_no_target_and_what_the_assistant_says_is(tmp_path: Path) -> None:
    """The loss over all places, by PyTorch's own cross-entropy: any target of a user's token may stand there."""
    torch.manual_seed(2)
    model = build_model(AssistantConfig(body=BODY)).eval()
    (batch,) = every_row(conversation_rows(rows_in(tmp_path / "rows", MADE_UP[:1], 128), 128, False), 1)
    ids, marks = spelled(MADE_UP[0].messages)
    targets, learned = torch.tensor(ids[1:]), torch.tensor(marks[1:])
    with torch.inference_mode():
        logits = model.body(torch.tensor([ids[:-1]]))[0]
        ours = float(loss_of(model, batch))

        def dense(targets: torch.Tensor) -> float:
            every = torch.nn.functional.cross_entropy(logits, targets, reduction="none")
            return float(every[learned].sum())

        assert ours == pytest.approx(dense(targets), rel=1e-5)
        for place in range(len(targets)):
            changed = targets.clone()
            changed[place] = (changed[place] + 1) % BODY.vocabulary_size
            assert (dense(changed) == pytest.approx(ours, rel=1e-5)) == (not learned[place])
            # The same in the batch: a user's target has no place there that could be changed.
            assert batch.places is not None
            at_place = batch.places[0] == place
            at_place &= batch.targets[0] != IGNORED
            assert bool(at_place.any()) == bool(learned[place])


def test_another_conversation_of_the_row_changes_nothing(tmp_path: Path) -> None:
    torch.manual_seed(3)
    model = build_model(AssistantConfig(body=BODY, packed=True, length=128)).eval()
    together = [conversation_rows(rows_in(tmp_path / name, talks, 128), 128, True) for name, talks in
                (("ab", MADE_UP[:2]), ("a", MADE_UP[:1]), ("b", MADE_UP[1:2]))]  # fmt: skip
    with torch.inference_mode():
        both, first, second = (float(loss_of(model, next(iter(every_row(rows, 1))))) for rows in together)
    assert len(together[0]) == 1 and both == pytest.approx(first + second, rel=1e-5)


def test_an_epoch_of_training_has_every_conversation_once(tmp_path: Path) -> None:
    several = conversation_rows(rows_in(tmp_path / "rows", MADE_UP, 128), 128, False)
    batches = LikeLengthBatches(several, 1, seed=3)
    found: Counter[Learned] = Counter()
    for number in range(len(several)):
        found += told_by(batches.batch(number))
    assert found == Counter(spelled(one.messages) for one in MADE_UP)
