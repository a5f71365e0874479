"""Classifiers in Hugging Face's layout, both directions: logits of filled-up batches, rows, classes, what cannot be."""

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from homespun.batches.labelled import Frame, LabelledRows
from homespun.common.errors import HomespunError
from homespun.common.progress import Silent
from homespun.interchange.export import Exported, export_model
from homespun.interchange.formats import FORMATS
from homespun.interchange.forms import model_of
from homespun.interchange.options import Reading, Writing
from homespun.interchange.weights import Weights
from homespun.models.classifier import Classifier
from homespun.models.registry import build_model
from homespun.models.settings import BERTConfig, ClassifierConfig, GPTConfig, TextModelConfig
from homespun.tokenizer.special import DEFAULT_SPECIAL_TOKENS
from homespun.tokenizer.tokenizer import Tokenizer
from tests.interchange.conftest import FAMILY_OF, MERGES, OURS, randomize

pytestmark = pytest.mark.filterwarnings("ignore")

TOKENIZER = Tokenizer("gpt2", MERGES, (*DEFAULT_SPECIAL_TOKENS, *BERTConfig.special_tokens))
WITHOUT_PADDING = Tokenizer("gpt2", MERGES, ["<|endoftext|>"])
BERT = BERTConfig(context=40, layers=2, width=32, heads=4, feedforward_width=72, next_sentence=True)
BODIES: dict[str, TextModelConfig] = {**OURS, "bert": BERT}
LABELS = ("spam", "ham", "Öl", "an other", "LABEL_0")
TEXTS = ["the other", "in the error of the other", "", "<|endoftext|>", "an error <|pad|>", "é" * 60, "a\nb  "]


def config_of(name: str, tokenizer: Tokenizer = TOKENIZER, **changes: Any) -> ClassifierConfig:
    body = replace(BODIES[name], vocabulary_size=tokenizer.vocabulary_size)
    return replace(ClassifierConfig(body=body, labels=LABELS, head_bias=name == "bert", length=24), **changes)


def our_classifier(config: ClassifierConfig) -> Classifier:
    model = randomize(build_model(config))
    assert isinstance(model, Classifier)
    return model


def export(model: Any, out: Path, tokenizer: Tokenizer = TOKENIZER, **options: Any) -> Exported:
    return export_model(model, tokenizer, FORMATS["huggingface"], out, Writing(**options), Silent())


def rows_of(model: Classifier, tokenizer: Tokenizer, texts: list[str]) -> Any:
    """As training and ``homespun classify`` make them."""
    frame = Frame.of(model.config.body.summarized_at, model.config.window, 1, tokenizer)
    return LabelledRows(tokenizer.encode_batch(texts), frame, np.zeros(len(texts))).batch(np.arange(len(texts)))


def loaded(transformers: ModuleType, folder: Path) -> tuple[Any, Any]:
    """The library's model, all of whose tensors are there, and its tokenizer."""
    theirs, report = transformers.AutoModelForSequenceClassification.from_pretrained(
        folder, attn_implementation="eager", output_loading_info=True
    )
    assert not any(report.values())
    kind = transformers.AutoTokenizer if theirs.config.model_type != "qwen2" else transformers.PreTrainedTokenizerFast
    return theirs.eval(), kind.from_pretrained(folder)


def encode(tokenizer: Any, texts: list[str]) -> Any:
    return tokenizer(texts, padding=True, truncation=True, return_tensors="pt")


@pytest.mark.parametrize("name", BODIES)
def test_the_library_says_what_homespun_says(transformers: ModuleType, name: str, tmp_path: Path) -> None:
    ours = our_classifier(config_of(name))
    done = export(ours, tmp_path / "out")
    assert done.verified.exact and done.verified.difference == 0 and "names of 5 classes" in done.verified.words()
    theirs, tokenizer = loaded(transformers, tmp_path / "out")
    assert theirs.config.model_type == FAMILY_OF.get(name, name)
    assert [theirs.config.id2label[number] for number in range(5)] == list(LABELS)
    assert theirs.config.label2id == {label: number for number, label in enumerate(LABELS)}
    batch, found = rows_of(ours, TOKENIZER, TEXTS), encode(tokenizer, TEXTS)
    assert set(found) == {"input_ids", "attention_mask"}
    assert found["attention_mask"].sum(1).tolist() == batch.documents.sum(1).tolist()
    with torch.inference_mode():
        wanted = ours(batch.inputs, batch.documents)
        torch.testing.assert_close(theirs(**found).logits, wanted, rtol=1e-4, atol=1e-4)
        one = encode(tokenizer, TEXTS[:1])
        torch.testing.assert_close(theirs(**one).logits, wanted[:1], rtol=1e-4, atol=1e-4)


@pytest.fixture(scope="module", params=["gpt2", "qwen3", "bert"])
def pair(request: pytest.FixtureRequest, transformers: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A classifier of ours, its tokenizer, and the library's of both; of the decoders one lacks a token for padding."""
    tokenizer = WITHOUT_PADDING if request.param == "qwen3" else TOKENIZER
    ours = our_classifier(config_of(request.param, tokenizer))
    folder = tmp_path_factory.mktemp("pair") / "out"
    export(ours, folder, tokenizer)
    return ours, tokenizer, folder, *loaded(transformers, folder)


SPELLED = st.lists(st.sampled_from([" the", "other", "<|endoftext|>", "<|pad|>", "<|class|>", "\n", "é"]), max_size=9)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.lists(st.text(max_size=40) | SPELLED.map("".join), min_size=1, max_size=5))
def test_rows_and_logits_of_any_texts(pair: Any, texts: list[str]) -> None:
    ours, tokenizer, _, theirs, their_tokenizer = pair
    batch, found = rows_of(ours, tokenizer, texts), encode(their_tokenizer, texts)
    for row, mask, their_row, their_mask in zip(
        batch.inputs, batch.documents, found["input_ids"], found["attention_mask"], strict=True
    ):
        assert row[mask > 0].tolist() == their_row[their_mask > 0].tolist()
    with torch.inference_mode():
        wanted = ours(batch.inputs, batch.documents)
        torch.testing.assert_close(theirs(**found).logits, wanted, rtol=1e-4, atol=1e-4)


def test_the_librarys_pipeline(pair: Any, transformers: ModuleType) -> None:
    ours, tokenizer, folder, _, _ = pair
    told = transformers.pipeline("text-classification", model=str(folder))(TEXTS, top_k=None, truncation=True)
    batch = rows_of(ours, tokenizer, TEXTS)
    with torch.inference_mode():
        chances = ours(batch.inputs, batch.documents).softmax(-1)
    for row, answers in zip(chances.tolist(), told, strict=True):
        assert {one["label"]: pytest.approx(one["score"], abs=1e-4) for one in answers} == dict(
            zip(LABELS, row, strict=True)
        )


@pytest.mark.parametrize("number", ["F16", "BF16"])
@pytest.mark.parametrize("name", ["llama", "bert"])
def test_shorter_types(transformers: ModuleType, name: str, number: str, tmp_path: Path) -> None:
    ours = our_classifier(config_of(name))
    export(ours, tmp_path / "out", number=number)
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(
        tmp_path / "out", attn_implementation="eager", dtype=torch.float32
    )
    batch = rows_of(ours, TOKENIZER, TEXTS)
    weights = FORMATS["huggingface"].read(tmp_path / "out", Reading())
    ids = torch.where(batch.documents > 0, batch.inputs, TOKENIZER.special_tokens["<|pad|>"])
    with torch.inference_mode():
        rounded = model_of(weights)(batch.inputs, batch.documents)
        # tanh is not quite straight in the room that F16 leaves
        near = 1e-2 if (name, number) == ("bert", "F16") else 1e-4
        found = theirs.eval()(ids, attention_mask=batch.documents).logits
        torch.testing.assert_close(found, rounded, rtol=near, atol=near)


def read_again(folder: Path, **options: Any) -> Weights:
    """The folder as somebody else's: without our list of its files."""
    (folder / "manifest.json").unlink(missing_ok=True)
    return FORMATS["huggingface"].read(folder, Reading(**options))


@pytest.mark.parametrize("name", ["gpt2", "qwen3", "bert"])
@pytest.mark.parametrize("format_name", ["huggingface", "safetensors"])
def test_it_comes_back(name: str, format_name: str, tmp_path: Path) -> None:
    config = config_of(name, dropout=0.0)
    ours, told = our_classifier(config), list[str]()
    done = export_model(ours, TOKENIZER, FORMATS[format_name], tmp_path / "out", Writing(), Silent())
    assert done.verified.exact and done.verified.shown == 4 and done.verified.unit == "texts"
    found = FORMATS[format_name].read(tmp_path / "out", Reading(warn=told.append))
    assert not told and isinstance(found.config, ClassifierConfig)
    assert (found.config.labels, found.config.length) == (LABELS, 24)
    assert found.config.head_bias == (name == "bert")
    assert found.tokenizer.identity() == TOKENIZER.identity()
    for key, parameter in ours.named_parameters():
        assert torch.equal(found.tensors[key], parameter), key


def test_what_the_library_saved(transformers: ModuleType, exported: Path, tmp_path: Path) -> None:
    """With rows behind the last token, another number of classes, and a shorter context asked for."""
    shutil.copytree(exported / "llama", tmp_path / "out")  # for its tokenizer
    count = TOKENIZER.vocabulary_size
    shape = transformers.LlamaConfig(
        vocab_size=count + 9, hidden_size=24, num_hidden_layers=3, num_attention_heads=3, intermediate_size=50,
        max_position_embeddings=20, num_labels=7, pad_token_id=TOKENIZER.special_tokens["<|pad|>"],
    )  # fmt: skip
    theirs = randomize(transformers.LlamaForSequenceClassification(shape))
    theirs.save_pretrained(tmp_path / "out")
    told: list[str] = []
    weights = read_again(tmp_path / "out", warn=told.append, context=16)
    ours = model_of(weights)
    assert ours.config.labels == tuple(f"LABEL_{number}" for number in range(7))
    assert (ours.config.body.vocabulary_size, ours.config.body.context) == (count, 16)
    assert len(told) == 1 and "the last 9, which stand for no token, are left out" in told[0]
    batch = rows_of(ours, TOKENIZER, TEXTS)
    ids = torch.where(batch.documents > 0, batch.inputs, TOKENIZER.special_tokens["<|pad|>"])
    with torch.inference_mode():
        wanted = theirs(ids, attention_mask=batch.documents).logits
        torch.testing.assert_close(ours(batch.inputs, batch.documents), wanted, rtol=1e-4, atol=1e-4)


def change(folder: Path, file: str, **values: Any) -> None:
    path = folder / file
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | values), "utf-8")


def change_tensors(folder: Path, found: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> None:
    file = folder / "model.safetensors"
    save_file(found(load_file(file)), file)


POOLER = "bert.pooler.dense.weight"
HARM: dict[str, tuple[str, Callable[[Path], Any], str]] = {
    "several classes at once": (
        "qwen3", lambda folder: change(folder, "config.json", problem_type="multi_label_classification"),
        "problem_type is 'multi_label_classification'; homespun computes only",
    ),
    "a number instead of a class": (
        "qwen3", lambda folder: change(folder, "config.json", id2label={"0": "a"}), "id2label is ['a']",
    ),
    "one name twice": (
        "qwen3", lambda folder: change(folder, "config.json", id2label={"0": "a", "1": "a"}), "id2label is ['a', 'a']",
    ),
    "a class too many": (
        "qwen3", lambda folder: change(folder, "config.json", id2label={str(one): f"{one}" for one in range(6)}),
        "score.weight has shape (5, 32), the configuration needs (6, 32)",
    ),
    "classes with a gap": (
        "qwen3", lambda folder: change(folder, "config.json", id2label={"0": "a", "2": "b"}), "id2label is",
    ),
    "no head": (
        "qwen3",
        lambda folder: change_tensors(folder, lambda all: {key: one for key, one in all.items() if key[0] != "s"}),
        "lacks the tensor score.weight",
    ),
    "a bias": (
        "qwen3", lambda folder: change_tensors(folder, lambda all: all | {"score.bias": torch.zeros(5)}),
        "has the tensor score.bias",
    ),
    "more tokens than a machine can count": (
        "qwen3", lambda folder: change(folder, "config.json", vocab_size=1 << 40),
        "the tokenizer has 272 tokens, the embedding 1,099,511,627,776 rows",
    ),
    "another class": (
        "qwen3", lambda folder: change(folder, "config.json", architectures=["Qwen3ForTokenClassification"]),
        "unknown architectures ['Qwen3ForTokenClassification']",
    ),
    "a pooler of its own": (
        "bert", lambda folder: change_tensors(folder, lambda all: all | {POOLER: all[POOLER] + 0.01}),
        "this BERT has a pooler",
    ),
    "a pooler that is not small": (
        "bert", lambda folder: change_tensors(folder, lambda all: all | {POOLER: torch.eye(32)}),
        "this BERT has a pooler",
    ),
    "no pooler": (
        "bert", lambda folder: change_tensors(folder, lambda all: {key: all[key] for key in all if key != POOLER}),
        "lacks the tensor bert.pooler.dense.weight",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for each body, to be copied."""
    place = tmp_path_factory.mktemp("exported")
    for name in ("qwen3", "bert", "llama"):
        export(our_classifier(config_of(name)), place / name)
    return place


@pytest.mark.parametrize("name", HARM)
def test_a_folder_that_is_refused(name: str, exported: Path, tmp_path: Path) -> None:
    body, harm, said = HARM[name]
    shutil.copytree(exported / body, tmp_path / "out")
    harm(tmp_path / "out")
    with pytest.raises(HomespunError) as raised:
        read_again(tmp_path / "out")
    assert said in str(raised.value) and str(tmp_path) in str(raised.value) and "\n" not in str(raised.value)


def test_other_marks_around_a_text_are_told(exported: Path, tmp_path: Path) -> None:
    shutil.copytree(exported / "bert", tmp_path / "out")
    change(tmp_path / "out", "tokenizer.json", post_processor=None)
    told: list[str] = []
    read_again(tmp_path / "out", warn=told.append)
    assert len(told) == 1 and "has <|class|> before it and <|separator|> behind: the classes will not be" in told[0]


@pytest.mark.parametrize(
    ("name", "changes", "said"),
    [
        ("qwen3", {"head_bias": True}, "model.head_bias is True, and Qwen3ForSequenceClassification has no place for"),
        ("qwen3", {"summary": "mean"}, "model.summary is mean, and the classifiers there read one token of a text"),
        ("bert", {"length": 64}, "model.length is 64, and the base reads 40 tokens at once (finetune with --model"),
        ("bert", {"head_bias": False}, "model.head_bias is False, and BertForSequenceClassification has one"),
        ("qwen3", {"labels": ("a", "b\u202e")}, "model.labels has names that cannot be printed"),
        ("qwen3", {"body": GPTConfig(experts=4, vocabulary_size=TOKENIZER.vocabulary_size)}, "model.experts is 4"),
    ],
)
def test_a_classifier_that_has_no_place_is_one_line(
    name: str, changes: dict[str, Any], said: str, tmp_path: Path
) -> None:
    with pytest.raises(HomespunError) as raised:
        export(our_classifier(config_of(name, **changes)), tmp_path / "out")
    assert said in str(raised.value) and "\n" not in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_our_own_format_has_what_others_have_not(tmp_path: Path) -> None:
    ours = our_classifier(config_of("qwen3", summary="mean", length=100, head_bias=True))
    assert ours.config.windows == 3
    done = export_model(ours, TOKENIZER, FORMATS["safetensors"], tmp_path / "out", Writing(), Silent())
    assert done.verified.exact and done.verified.difference == 0
    assert FORMATS["safetensors"].read(tmp_path / "out", Reading()).config == ours.config


@pytest.mark.parametrize("format_name", ["gguf", "rwkv"])
def test_formats_without_classifiers(format_name: str, tmp_path: Path) -> None:
    with pytest.raises(HomespunError) as raised:
        export_model(
            our_classifier(config_of("qwen3")), TOKENIZER, FORMATS[format_name], tmp_path / "out", Writing(), Silent()
        )
    assert "classifier" in str(raised.value) and "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["qwen3", "bert"])
def test_one_that_reads_all_tokens_is_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def mean(self: Any, tokens: torch.Tensor, documents: torch.Tensor) -> torch.Tensor:
        hidden, weights = self.body.hidden(tokens), documents[:, :, None]  # (B, T, C), (B, T, 1)
        return self.head((hidden * weights).sum(1) / weights.sum(1))

    monkeypatch.setattr(Classifier, "forward", mean)
    with pytest.raises(HomespunError, match=r"it does not read its text off the (first|last) token alone") as raised:
        export(our_classifier(config_of(name)), tmp_path / "out")
    assert "\n" not in str(raised.value) and not (tmp_path / "out").exists()


def test_a_read_out_of_its_own_does_not_matter(transformers: ModuleType, tmp_path: Path) -> None:
    config = config_of("qwen3", body=replace(config_of("qwen3").body, logit_softcap=15.0, tied_embeddings=False))
    ours = our_classifier(config)
    export(ours, tmp_path / "out")
    theirs, tokenizer = loaded(transformers, tmp_path / "out")
    batch = rows_of(ours, TOKENIZER, TEXTS)
    with torch.inference_mode():
        wanted = ours(batch.inputs, batch.documents)
        torch.testing.assert_close(theirs(**encode(tokenizer, TEXTS)).logits, wanted, rtol=1e-4, atol=1e-4)


def test_the_pooler_changes_nothing_whatever_the_text(exported: Path) -> None:
    """Also of the largest activations that the last LayerNorm lets through."""
    ours = our_classifier(config_of("bert"))
    stored, last = load_file(exported / "bert" / "model.safetensors"), ours.body.blocks[-1].feedforward_norm
    spike = torch.zeros(32)
    spike[int((last.weight.abs() * math.sqrt(32) + last.bias.abs()).argmax())] = 1e3
    with torch.inference_mode():
        hidden = torch.stack([last(spike), last(-spike), last(torch.randn(32))])  # (3, C)
        pooled = torch.tanh(hidden @ stored["bert.pooler.dense.weight"].T + stored["bert.pooler.dense.bias"])
        logits = pooled @ stored["classifier.weight"].T + stored["classifier.bias"]
        torch.testing.assert_close(logits, ours.head(hidden), rtol=1e-6, atol=1e-5)
