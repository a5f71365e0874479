"""Adapters on the command line: out of a run, onto its base, several at once; and one clear line for all else."""

import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from homespun.cli.main import run
from homespun.common.errors import HomespunError
from homespun.common.progress import Silent
from homespun.inference.classify import chances_of
from homespun.inference.load import load_for_classification, load_for_inference
from homespun.interchange.adapted import load_adapted
from homespun.interchange.export import export_model
from homespun.interchange.formats import FORMATS
from homespun.interchange.huggingface.peft.head import head_of
from homespun.interchange.huggingface.peft.onto_base import write_beside
from homespun.interchange.huggingface.peft.writing import write_adapter
from homespun.interchange.options import Reading, Writing
from homespun.models.adapter import adapter_of
from homespun.models.registry import build_model
from homespun.models.settings import BERTConfig, ClassifierConfig
from homespun.pipeline.import_run import import_run
from homespun.tokenizer.chat import can_chat
from homespun.tokenizer.special import DEFAULT_SPECIAL_TOKENS
from homespun.tokenizer.tokenizer import Tokenizer
from tests.interchange.conftest import MERGES, our_model, randomize
from tests.pipeline.conftest import TINY, fail

TOKENIZER = Tokenizer("gpt2", MERGES, ["<|endoftext|>"])  # without the control tokens of a conversation
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
OPTIONS = [
    "--train=lora",
    "--model.lora-rank=2",
    "--training.steps=8",
    "--training.batch-size=4",
    "--training.learning-rate=1e-2",
    *(option for option in TINY if option.startswith(("--training.pre", "--training.at", "--training.co"))),
    "--training.threads=1",
    "--training.checkpoint-seconds=0",
    "--sampling.maximum-tokens=4",
]
SAY = ["--temperature=0", "--maximum-tokens=6"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``base``, a run whose tokenizer has no control tokens; ``shared``, its export; ``files``."""
    folder = tmp_path_factory.mktemp("place")
    model = our_model("llama", vocabulary_size=TOKENIZER.vocabulary_size, context=96)
    export_model(model, TOKENIZER, FORMATS["huggingface"], folder / "shared", Writing(), Silent())
    import_run(folder / "shared", folder / "base", Reading(), [], Silent())
    asked = [(f"Say {word} {number}", word) for number in range(12) for word in ("yes", "no", "so")]
    entries = [{"instruction": question, "input": "", "output": word} for question, word in asked]
    (folder / "instructions.json").write_text(json.dumps(entries), "utf-8")
    lines = [f'"{word} {number}",{word}' for number in range(20) for word in ("yes", "no")]
    (folder / "table.csv").write_text("text,label\n" + "\n".join(lines) + "\n", "utf-8")
    return folder


@pytest.fixture(scope="module")
def assistant(place: Path) -> Path:
    out = place / "assistant"
    command = ["finetune", "instructions", str(place / "base"), str(place / "instructions.json"), "--out", str(out)]
    assert run([*command, *OPTIONS]) == 0
    return out


@pytest.fixture(scope="module")
def adapter(assistant: Path) -> Path:
    out = assistant.parent / "adapters" / "assistant"
    assert run(["export", str(assistant), "--format", "peft", "--out", str(out)]) == 0
    return out


@pytest.fixture
def copied(adapter: Path, tmp_path: Path) -> Path:
    """To be changed, without the checksums."""
    shutil.copytree(adapter, tmp_path / "mine")
    (tmp_path / "mine" / "manifest.json").unlink()
    return tmp_path / "mine"


def tokens_of(model: Any) -> torch.Tensor:
    size = model.config.vocabulary_size
    tokens = torch.randint(size, (2, 24), generator=torch.Generator().manual_seed(3))
    tokens[0, :2] = torch.tensor([size - 1, size - 2])
    return tokens


def test_what_lies_in_the_folder(adapter: Path, place: Path) -> None:
    values = json.loads((adapter / CONFIG).read_text("utf-8"))
    known = TOKENIZER.vocabulary_size
    assert values["trainable_token_indices"] == {"embed_tokens": [known, known + 1], "lm_head": [known, known + 1]}
    assert values["r"] == 2 and values["task_type"] == "CAUSAL_LM"
    record = json.loads((adapter / "base.json").read_text("utf-8"))
    assert record["name"] == "base" and len(record["fingerprint"]) == 64
    size = sum(file.stat().st_size for file in adapter.iterdir() if file.suffix == ".safetensors")
    assert size < 0.5 * (place / "shared" / "model.safetensors").stat().st_size


def test_on_its_base_it_is_the_run(place: Path, assistant: Path, adapter: Path) -> None:
    wanted, tokenizer = load_for_inference(assistant, pytest.fail)
    plain, _ = load_for_inference(place / "base", pytest.fail)
    loaded = load_adapted(place / "base", [str(adapter), f"again={adapter}"], pytest.fail)
    tokens, few = tokens_of(wanted), tokens_of(plain)
    assert loaded.names == ["assistant", "again"] and loaded.in_use == "assistant"
    assert can_chat(loaded.tokenizer) and loaded.tokenizer.identity() == tokenizer.identity()
    with torch.inference_mode():
        torch.testing.assert_close(loaded.model(tokens), wanted(tokens), rtol=1e-5, atol=1e-5)
        loaded.use(None)
        assert torch.equal(loaded.model(few), plain(few)) and not can_chat(loaded.tokenizer)


@pytest.mark.filterwarnings("ignore")
def test_the_library_loads_it_onto_the_exported_base(place: Path, assistant: Path, adapter: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        transformers, peft = pytest.importorskip("transformers"), pytest.importorskip("peft")
    ours, _ = load_for_inference(assistant, pytest.fail)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(place / "shared", attn_implementation="eager")
    assert len(transformers.AutoTokenizer.from_pretrained(adapter)) == ours.config.vocabulary_size
    theirs.resize_token_embeddings(ours.config.vocabulary_size, mean_resizing=False)
    theirs = peft.PeftModel.from_pretrained(theirs, adapter).eval()
    tokens = tokens_of(ours)
    with torch.inference_mode():
        torch.testing.assert_close(theirs(tokens).logits, ours(tokens), rtol=1e-5, atol=1e-5)


def test_generate_and_import_say_what_the_run_says(
    place: Path, assistant: Path, adapter: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["import", str(place / "shared"), "--adapter", str(adapter), "--out", str(tmp_path / "merged")]
    assert run(command) == 0
    assert "merged: 21 differences" in capsys.readouterr().out
    texts = []
    for arguments in (
        [str(assistant)],
        [str(place / "base"), "--adapter", str(adapter)],
        [str(tmp_path / "merged")],
    ):
        assert run(["generate", *arguments, "--prompt", "the other", "--json", *SAY]) == 0
        texts.append(json.loads(capsys.readouterr().out)["text"])
    assert texts[0] == texts[1] == texts[2]
    plain, merged = (load_for_inference(folder, pytest.fail)[0] for folder in (assistant, tmp_path / "merged"))
    for (name, one), (_, other) in zip(plain.named_parameters(), merged.named_parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6, msg=name)


def test_a_talk_with_several(
    place: Path, adapter: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    typed = iter(["Say no 1", "/adapter base", "the other", "/adapter nobody", "/adapter", "/adapter two", "Say no 1"])
    monkeypatch.setattr("builtins.input", lambda prompt="": next_line(typed))
    capsys.readouterr()
    assert run(["chat", str(place / "base"), f"--adapter=one={adapter}", f"--adapter=two={adapter}", *SAY]) == 0
    said = capsys.readouterr()
    first, _, third = said.out.splitlines()
    assert first == third
    assert said.err.count("This model answers.") == 2 and said.err.count("This model continues") == 1
    assert "It speaks with the adapter one; /adapter NAME goes over to two, base." in said.err
    assert "warning: /adapter nobody: there is one, two, and now no adapter" in said.err


def next_line(lines: Any) -> str:
    for line in lines:
        return line
    raise EOFError


def test_evaluate_with_and_without(
    place: Path, adapter: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text.txt").write_text("the other in the other error\n" * 8, "utf-8")
    base = str(place / "base")
    command = ["evaluate", base, "--task", str(tmp_path / "text.txt"), "--json"]
    assert run(command) == 0
    plain = json.loads(capsys.readouterr().out)
    assert run([*command, "--adapter", str(adapter), "--against", base]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (plain["adapter"], record["adapter"]) == (None, "assistant")
    assert {path.stem for path in (place / "base" / "evaluations").iterdir()} == {"text", "text-with-assistant"}
    assert record["figures"][0]["value"] != plain["figures"][0]["value"]
    assert record["against"]["differences"][0]["other"] == plain["figures"][0]["value"]
    assert "with assistant" in (place / "base" / "report.html").read_text("utf-8")


def bring(place: Path, folder: Path) -> str:
    """The one line that refuses it."""
    with pytest.raises(HomespunError) as raised:
        load_adapted(place / "base", [str(folder)], lambda text: None)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_another_base_is_one_line(
    place: Path, assistant: Path, adapter: Path, copied: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    line = fail(["generate", str(assistant), "--adapter", str(adapter), "--prompt", "a"], capsys)
    assert "is an adapter for another base ('base', whose weights have the fingerprint" in line
    model = our_model("llama", vocabulary_size=TOKENIZER.vocabulary_size, context=96, feedforward_width=64)
    export_model(model, TOKENIZER, FORMATS["huggingface"], tmp_path / "shared", Writing(), Silent())
    import_run(tmp_path / "shared", tmp_path / "other", Reading(), [], Silent())
    line = fail(["chat", str(tmp_path / "other"), "--adapter", str(adapter)], capsys)
    assert "is an adapter for another base" in line
    (copied / "base.json").unlink()  # nothing but the shapes is left to tell
    line = fail(["generate", str(tmp_path / "other"), "--adapter", str(copied), "--prompt", "a"], capsys)
    assert "mlp.gate_proj.lora_B.weight has shape (72, 2), the rank 2 of adapter_config.json" in line
    arguments = ["import", str(tmp_path / "shared"), "--adapter", str(adapter), "--out", str(tmp_path / "run")]
    assert "is an adapter for another base" in fail(arguments, capsys)
    assert not (tmp_path / "run").exists()


def set_values(folder: Path, file: str, **values: Any) -> None:
    path = folder / file
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | values), "utf-8")


def set_tensors(folder: Path, change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> None:
    save_file(change(load_file(folder / WEIGHTS)), folder / WEIGHTS)


def with_more_rows(folder: Path) -> None:
    """One more token than the tokenizer knows."""
    known = TOKENIZER.vocabulary_size
    places = [known, known + 1, known + 2]
    set_values(folder, CONFIG, trainable_token_indices={"embed_tokens": places, "lm_head": places})
    set_tensors(
        folder,
        lambda found: {
            name: torch.cat([value, value[:1]]) if name.endswith("trainable_tokens_delta") else value
            for name, value in found.items()
        },
    )
    (folder / "base.json").unlink()


ROW = "base_model.model.lm_head.token_adapter.trainable_tokens_delta"
HARM: dict[str, tuple[Callable[[Path], Any], str]] = {
    "huge rank": (
        lambda folder: set_values(folder, CONFIG, r=1 << 40),
        "r is 1099511627776; it must be a whole number",
    ),
    "large rank": (lambda folder: set_values(folder, CONFIG, r=1 << 20), "the rank 1048576 of adapter_config.json"),
    "names of other tensors": (
        lambda folder: set_tensors(folder, lambda found: found | {"model.norm.weight": torch.zeros(32)}),
        "the tensor model.norm.weight is no part of a low-rank difference",
    ),
    "rows of other tensors": (
        lambda folder: set_tensors(
            folder, lambda found: found | {ROW.replace("lm_head", "model.norm"): torch.zeros(2, 32)}
        ),
        "is of a layer that this model does not have",
    ),
    "rows without a name": (
        lambda folder: set_tensors(folder, lambda found: found | {ROW.removeprefix("base_model."): torch.zeros(2, 32)}),
        "is of a layer that",
    ),
    "rows that are missing": (
        lambda folder: set_tensors(folder, lambda found: {key: one for key, one in found.items() if key != ROW}),
        "lacks the rows of head.weight that trainable_token_indices of adapter_config.json names",
    ),
    "rows of another width": (
        lambda folder: set_tensors(folder, lambda found: found | {ROW: torch.zeros(2, 31)}),
        f"{ROW} has shape (2, 31), trainable_token_indices of adapter_config.json need (2, 32)",
    ),
    "rows that are no numbers": (
        lambda folder: set_tensors(folder, lambda found: found | {ROW: torch.full((2, 32), torch.nan)}),
        f"64 of the numbers of {ROW} are infinite or no numbers",
    ),
    "tokens with a gap": (
        lambda folder: (
            (folder / "base.json").unlink(),
            set_values(folder, CONFIG, trainable_token_indices={"embed_tokens": [999, 3], "lm_head": [999, 3]}),
        ),
        "the adapter has rows for tokens that the model lacks",
    ),
    "more tokens than the tokenizer": (with_more_rows, "its tokenizer knows"),
    "no tokenizer": (lambda folder: (folder / "tokenizer.json").unlink(), "get the folder again, with its tokenizer"),
    "another tokenizer": (
        lambda folder: (folder / "tokenizer.json").write_text(
            (folder / "tokenizer.json").read_text("utf-8").replace("<|endoftext|>", "<|end|>"), "utf-8"
        ),
        "tokenizer",
    ),
    "record of a base": (
        lambda folder: set_values(folder, "base.json", fingerprint=3),
        "base.json is damaged (a fingerprint and a name are texts)",
    ),
    "record of another version": (lambda folder: set_values(folder, "base.json", version=2), "version is 2"),
    "record that is no JSON": (lambda folder: (folder / "base.json").write_text("{"), "base.json"),
}


@pytest.mark.parametrize("name", HARM)
def test_a_folder_that_is_refused(name: str, place: Path, copied: Path) -> None:
    change, says = HARM[name]
    change(copied)
    line = bring(place, copied)
    assert says in line and "mine" in line, line


def test_a_changed_file_is_noticed(place: Path, adapter: Path, tmp_path: Path) -> None:
    shutil.copytree(adapter, tmp_path / "mine")
    set_values(tmp_path / "mine", CONFIG, lora_alpha=3)
    assert f"{CONFIG} was changed since it was written" in bring(place, tmp_path / "mine")


def test_names_of_adapters(
    place: Path, adapter: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    base = str(place / "base")
    for told in ([f"a={adapter}", f"a={adapter}"], [f"base={adapter}"], [f"={adapter}"], [f"a b={adapter}"]):
        line = fail(["chat", base, *(f"--adapter={one}" for one in told)], capsys, 2)
        assert "is taken, or no name; give one: --adapter NAME=FOLDER" in line
    assert "there is no folder nowhere" in fail(["chat", base, "--adapter", "a=nowhere"], capsys, 2)
    shutil.copytree(adapter, tmp_path / "a=b")  # a folder whose own name looks like both
    monkeypatch.chdir(tmp_path)
    assert load_adapted(place / "base", ["a=b"], pytest.fail).names == ["a=b"]


def test_a_run_without_differences_is_one_line(
    place: Path, assistant: Path, adapter: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    to_peft = ["--format", "peft", "--out", str(tmp_path / "x")]
    line = fail(["export", str(place / "base"), *to_peft], capsys, 2)
    assert "has no adapter (it is no finetuning), only a finetuning with --train lora has; for the whole" in line
    assert f"{adapter} exists" in fail(["export", str(assistant), "--format", "peft", "--out", str(adapter)], capsys, 2)
    assert "--number BF16: the format peft has F32" in fail(
        ["export", str(assistant), *to_peft, "--number", "BF16"], capsys, 2
    )
    full = tmp_path / "full"
    command = ["finetune", "instructions", str(place / "base"), str(place / "instructions.json"), "--out", str(full)]
    assert run([*command, "--train=last-layers", *OPTIONS[1:]]) == 0
    assert "(model.trained is last-layers)" in fail(["export", str(full), *to_peft], capsys, 2)
    assert not (tmp_path / "x").exists()


@pytest.fixture(scope="module")
def classifier(place: Path) -> Path:
    out = place / "classifier"
    command = ["finetune", "classify", str(place / "base"), str(place / "table.csv"), "--out", str(out), *OPTIONS]
    assert run([*command, "--model.summary=token"]) == 0
    return out


@pytest.mark.filterwarnings("ignore")
def test_of_a_classifier_the_head_goes_along(
    place: Path, classifier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "x"
    capsys.readouterr()
    assert run(["export", str(classifier), "--format", "peft", "--out", str(out), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["differences"], record["tokens"], record["base"]) == (21, 0, "base")
    values, classes = (json.loads((out / name).read_text("utf-8")) for name in (CONFIG, "classes.json"))
    assert (values["task_type"], values["modules_to_save"]) == ("SEQ_CLS", ["score"])
    assert classes["label2id"] == {"no": 0, "yes": 1}
    line = fail(["generate", str(place / "base"), "--adapter", str(out), "--prompt", "a"], capsys)
    assert "modules_to_save is ['score']; homespun computes low-rank differences alone" in line
    ours, tokenizer = load_for_classification(classifier, pytest.fail)
    check_in_the_library(ours, tokenizer, place / "shared", out)


def check_in_the_library(ours: Any, tokenizer: Tokenizer, base: Path, adapter: Path) -> None:
    """PEFT's model of the exported base and adapter has the logits of ours, its tokenizer the rows."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        transformers, peft = pytest.importorskip("transformers"), pytest.importorskip("peft")
    told = json.loads((adapter / "classes.json").read_text("utf-8"))
    names = {number: label for label, number in told["label2id"].items()}
    theirs = transformers.AutoModelForSequenceClassification.from_pretrained(base, id2label=names, **told)
    theirs = peft.PeftModel.from_pretrained(theirs, adapter).eval()
    assert [theirs.config.id2label[number] for number in range(2)] == ["no", "yes"]
    texts = ["yes 3", "no", "", "the other in the error <|endoftext|>"]
    found = transformers.AutoTokenizer.from_pretrained(adapter)(
        texts, padding=True, truncation=True, return_tensors="pt"
    )
    with torch.inference_mode():
        chances = theirs(**found).logits.double().softmax(-1)
    torch.testing.assert_close(chances.numpy(), chances_of(ours, tokenizer, texts), rtol=1e-4, atol=1e-4)


@pytest.mark.filterwarnings("ignore")
def test_of_an_encoder_too(tmp_path: Path) -> None:
    """BERT's pooler and head are saved whole; the base is the run's own, exported as what fills gaps."""
    known = Tokenizer("gpt2", MERGES, (*DEFAULT_SPECIAL_TOKENS, *BERTConfig.special_tokens))
    body = BERTConfig(context=96, layers=2, width=32, heads=4, vocabulary_size=known.vocabulary_size)
    base = randomize(build_model(body))
    export_model(base, known, FORMATS["huggingface"], tmp_path / "shared", Writing(), Silent())
    config = ClassifierConfig(body=body, labels=("no", "yes"), trained="lora", lora_rank=2)
    ours = build_model(config)
    parameters = dict(base.named_parameters())
    with torch.no_grad():
        for name, parameter in ours.body.named_parameters():
            if name in parameters:
                parameter.copy_(parameters[name])
            elif name.endswith(".up"):
                parameter.normal_(std=0.1)

    def beside(folder: Path) -> None:
        write_beside(folder, "base", {**parameters}, (), known, config)

    write_adapter(adapter_of(ours.body), body, tmp_path / "x", beside=beside, head=head_of(ours, known))
    values = json.loads((tmp_path / "x" / CONFIG).read_text("utf-8"))
    assert values["modules_to_save"] == ["classifier", "pooler"]
    check_in_the_library(ours.eval(), known, tmp_path / "shared", tmp_path / "x")


def test_a_classifier_goes_out_whole_and_comes_back(
    classifier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With its differences added; ``homespun classify`` says the same of what comes back."""
    texts, told = ["yes 3", "no"], []
    assert run(["export", str(classifier), "--format", "huggingface", "--out", str(tmp_path / "shared")]) == 0
    said = capsys.readouterr().out
    assert "logits of 4 texts within" in said and "names of 2 classes" in said
    assert run(["import", str(tmp_path / "shared"), "--out", str(tmp_path / "back")]) == 0
    assert "2 classes, texts of up to" in capsys.readouterr().out
    for folder in (classifier, tmp_path / "back"):
        assert run(["classify", str(folder), *texts, "--json"]) == 0
        told.append([one["classes"] for one in json.loads(capsys.readouterr().out)])
    for one, other in zip(*told, strict=True):
        assert one == pytest.approx(other, abs=1e-5)
    assert run(["report", str(tmp_path / "back")]) == 0
    assert "it is no classifier" not in fail(["generate", str(tmp_path / "back"), "--prompt", "a"], capsys, 2)
