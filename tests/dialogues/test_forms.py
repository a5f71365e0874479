"""Objects of all known forms become conversations and preferences, and what is none says why."""

from typing import Any

import pytest

from homespun.dialogues.dialogue import Alike, Conversation, Empty, Message, NotUsable, Preference
from homespun.dialogues.forms import as_conversation, as_preference

ASKED = (Message("user", "2 + 2?"), Message("assistant", "4"))


@pytest.mark.parametrize(
    "entry",
    [
        {"instruction": "2 + 2?", "input": "", "output": "4"},
        {"instruction": " 2 + 2?\n", "output": "4 ", "id": 7},
        {"instruction": "2 + 2?", "input": None, "output": "4", "rejected": "5"},
        {"messages": [{"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": "4"}]},
        {"messages": [{"role": "User", "content": [{"type": "text", "text": "2 + "}, {"type": "text", "text": "2?"}]},
                      {"role": "assistant", "content": "4"}]},
        {"conversations": [{"from": "human", "value": "2 + 2?"}, {"from": "gpt", "value": "4"}]},
        {"conversations": [{"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": "4"}]},
        {"conversations": [{"from": "human", "value": "2 + 2?"}, {"from": "gpt", "value": "4"},
                           {"from": "human", "value": "And nobody answers?"}]},
        {"prompt": "2 + 2?", "completion": "4"},
        {"messages": [{"role": "system", "content": " "}, *(one._asdict() for one in ASKED)]},
    ],
)  # fmt: skip
def test_every_form_is_the_same_conversation(entry: dict[str, Any]) -> None:
    assert as_conversation(entry) == Conversation(ASKED)


def test_the_input_stands_below_the_instruction_and_the_system_first() -> None:
    found = as_conversation({"system": "Be brief.", "instruction": "Add.", "input": "2, 2", "output": "4"})
    assert [one.role for one in found.messages] == ["system", "user", "assistant"]
    assert found.messages[1].content == "Add.\n\n2, 2" and found.question == found.messages[:2]
    assert Conversation.from_record(found.record()) == found


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ([1], "is no conversation (it is no JSON object)"),
        ({"text": "a"}, "is no conversation (it has 'text')"),
        ({"messages": "hello"}, "'hello' where a list of messages belongs"),
        ({"messages": []}, "with no answer"),
        ({"messages": [{"role": "user", "content": "a"}]}, "with no answer"),
        ({"messages": [{"role": "assistant", "content": "a"}]}, "message 1 is of assistant, not of user"),
        ({"messages": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]}, "message 2 is of user"),
        (
            {"messages": [{"role": "user", "content": "a"}, {"role": "system", "content": "b"}]},
            "message 2 is of system",
        ),
        ({"messages": [{"role": "tool", "content": "a"}]}, "'tool' for the role of message 1"),
        ({"messages": [{"role": "user", "content": 7}]}, "has 7 for a message"),
        ({"conversations": [{"value": "a"}]}, "has None for the role of message 1"),
        ({"conversations": ["a"]}, "where a list of messages belongs"),
        ({"conversations": [7]}, "where a list of messages belongs"),
        ({"instruction": 7, "output": "a"}, "has 7 for instruction"),
    ],
)
def test_what_is_no_conversation_says_why(entry: Any, why: str) -> None:
    with pytest.raises(NotUsable) as told:
        as_conversation(entry)
    assert why in str(told.value) and not isinstance(told.value, Empty)


@pytest.mark.parametrize(
    "entry",
    [
        {"instruction": "", "input": "", "output": "4"},
        {"instruction": "2 + 2?", "output": " \n"},
        {"messages": [{"role": "user", "content": ""}, {"role": "assistant", "content": "a"}]},
    ],
)
def test_who_says_nothing_is_empty(entry: Any) -> None:
    with pytest.raises(Empty):
        as_conversation(entry)


PREFERENCE = Preference(ASKED[:1], "4", "5")


@pytest.mark.parametrize(
    "entry",
    [
        {"prompt": "2 + 2?", "chosen": "4", "rejected": "5"},
        {"instruction": "2 + 2?", "input": "", "output": "4", "chosen": "4", "rejected": "5"},
        {"prompt": [{"role": "user", "content": "2 + 2?"}], "chosen": [{"role": "assistant", "content": "4"}],
         "rejected": [{"role": "assistant", "content": "5"}]},
        {"chosen": [{"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": "4"}],
         "rejected": [{"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": "5"}]},
    ],
)  # fmt: skip
def test_every_form_is_the_same_preference(entry: dict[str, Any]) -> None:
    assert as_preference(entry) == PREFERENCE
    assert Preference.from_record(PREFERENCE.record()) == PREFERENCE


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ({"prompt": "a", "chosen": "b"}, "no answers chosen and rejected"),
        ({"chosen": "b", "rejected": "c"}, "has no question"),
        ({"prompt": "a", "chosen": ["b"], "rejected": "c"}, "where a list of messages belongs"),
        ({"prompt": "a", "chosen": [{"role": "user", "content": "b"}], "rejected": "c"}, "do not end with an answer"),
        ({"prompt": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], "chosen": "c",
          "rejected": "d"}, "does not end with a question"),
    ],
)  # fmt: skip
def test_what_is_no_preference_says_why(entry: Any, why: str) -> None:
    with pytest.raises(NotUsable) as told:
        as_preference(entry)
    assert why in str(told.value)


def test_the_same_answer_twice_prefers_nothing() -> None:
    with pytest.raises(Alike):
        as_preference({"prompt": "a", "chosen": "b", "rejected": "b "})
