"""BERT in Hugging Face's layout, both heads and directions: logits, every tensor, tokens, and what cannot be had."""

import json
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
import torch
from safetensors.torch import load_file, save_file

from homespun.cli.main import run
from homespun.common.errors import HomespunError
from homespun.common.progress import Silent
from homespun.interchange.export import export_model
from homespun.interchange.formats import FORMATS
from homespun.interchange.forms import model_of
from homespun.interchange.options import Reading, Writing
from homespun.interchange.weights import Weights
from homespun.models.bert import BERT
from homespun.models.settings import BERTConfig
from homespun.tokenizer.special import DEFAULT_SPECIAL_TOKENS
from homespun.tokenizer.tokenizer import Tokenizer
from tests.interchange.conftest import MERGES, randomize

pytestmark = pytest.mark.filterwarnings("ignore")

TOKENIZER = Tokenizer("gpt2", MERGES, (*DEFAULT_SPECIAL_TOKENS, *BERTConfig.special_tokens))
CONFIG = BERTConfig(
    vocabulary_size=TOKENIZER.vocabulary_size, context=40, layers=2, width=32, heads=4, feedforward_width=72
)
BOTH_HEADS = pytest.mark.parametrize("next_sentence", [False, True], ids=["masked", "both heads"])


def our_model(next_sentence: bool) -> BERT:
    model = randomize(BERT(replace(CONFIG, next_sentence=next_sentence)))
    assert isinstance(model, BERT)
    return model


def exported(folder: Path, next_sentence: bool) -> BERT:
    """A model of ours, and beside it what it is written as."""
    ours = our_model(next_sentence)
    done = export_model(ours, TOKENIZER, FORMATS["huggingface"], folder, Writing(), Silent())
    assert done.verified.exact and done.verified.difference == 0
    return ours


@BOTH_HEADS
def test_what_homespun_exported(transformers: ModuleType, next_sentence: bool, tmp_path: Path) -> None:
    ours = exported(tmp_path / "out", next_sentence)
    kind = transformers.AutoModelForPreTraining if next_sentence else transformers.AutoModelForMaskedLM
    theirs, report = kind.from_pretrained(tmp_path / "out", attn_implementation="eager", output_loading_info=True)
    assert not any(report.values())
    tokens = torch.randint(TOKENIZER.vocabulary_size, (3, 40), generator=torch.Generator().manual_seed(7))
    with torch.inference_mode():
        found = theirs.eval()(tokens)
        torch.testing.assert_close(ours(tokens), found[0], rtol=1e-4, atol=1e-4)
        if next_sentence:
            torch.testing.assert_close(ours.next_sentence(ours.hidden(tokens)), found[1], rtol=1e-4, atol=1e-4)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    assert (tokenizer.mask_token, tokenizer.cls_token, tokenizer.sep_token) == BERTConfig.special_tokens
    assert tokenizer.encode("the <|mask|>.") == TOKENIZER.encode("the <|mask|>.", ("<|mask|>",))


@BOTH_HEADS
def test_what_the_library_saved(transformers: ModuleType, next_sentence: bool, tmp_path: Path) -> None:
    exported(tmp_path / "out", next_sentence)  # for its tokenizer
    shape = transformers.BertConfig(
        vocab_size=TOKENIZER.vocabulary_size, hidden_size=24, num_hidden_layers=3, num_attention_heads=3,
        intermediate_size=50, max_position_embeddings=20, layer_norm_eps=1e-5, attn_implementation="eager",
    )  # fmt: skip
    kind = transformers.BertForPreTraining if next_sentence else transformers.BertForMaskedLM
    theirs = randomize(kind(shape))
    theirs.save_pretrained(tmp_path / "out")
    weights = read_again(tmp_path / "out")
    ours = model_of(weights)
    assert ours.config.next_sentence == next_sentence and ours.config.norm_epsilon == 1e-5
    tokens = torch.randint(TOKENIZER.vocabulary_size, (2, 20), generator=torch.Generator().manual_seed(7))
    with torch.inference_mode():
        torch.testing.assert_close(ours(tokens), theirs(tokens)[0], rtol=1e-4, atol=1e-4)


def read_again(folder: Path) -> Weights:
    """The folder as somebody else's: without our list of its files."""
    (folder / "manifest.json").unlink(missing_ok=True)
    return FORMATS["huggingface"].read(folder, Reading())


def test_the_authors_older_names(tmp_path: Path) -> None:
    """Gains and biases as gamma and beta, numbers of places, and the head's bias twice."""
    ours = exported(tmp_path / "out", True)
    file = tmp_path / "out" / "model.safetensors"
    tensors = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): tensor
        for name, tensor in load_file(file).items()
    }
    tensors["bert.embeddings.position_ids"] = torch.arange(40)[None]
    tensors["cls.predictions.decoder.bias"] = tensors["cls.predictions.bias"].clone()
    tensors["cls.predictions.decoder.weight"] = tensors["bert.embeddings.word_embeddings.weight"].clone()
    save_file(tensors, file)
    found = read_again(tmp_path / "out").tensors
    for name, parameter in ours.named_parameters():
        assert torch.equal(found[name], parameter), name


@pytest.mark.parametrize(
    ("key", "value"),
    [("hidden_act", "gelu_new"), ("position_embedding_type", "relative_key"), ("type_vocab_size", 1),
     ("is_decoder", True), ("tie_word_embeddings", False)],
)  # fmt: skip
def test_what_homespun_does_not_compute_is_one_line(key: str, value: object, tmp_path: Path) -> None:
    exported(tmp_path / "out", False)
    file = tmp_path / "out" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {key: value}))
    with pytest.raises(HomespunError, match=key) as raised:
        read_again(tmp_path / "out")
    assert "\n" not in str(raised.value)


def test_a_head_of_its_own_has_no_place(tmp_path: Path) -> None:
    model = BERT(replace(CONFIG, tied_embeddings=False))
    with pytest.raises(HomespunError, match="tied_embeddings is False"):
        export_model(model, TOKENIZER, FORMATS["huggingface"], tmp_path / "out", Writing(), Silent())


def test_an_imported_model_fills_gaps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exported(tmp_path / "out", True)
    assert run(["import", str(tmp_path / "out"), "--out", str(tmp_path / "run")]) == 0
    assert run(["generate", str(tmp_path / "run"), "--fill", "the [MASK]", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out.splitlines()[-1])["gaps"]) == 1
    assert run(["chat", str(tmp_path / "run")]) == 2
    assert run(["export", str(tmp_path / "run"), "--format", "gguf", "--out", str(tmp_path / "gguf")]) != 0
    assert "bert" in capsys.readouterr().err.splitlines()[-1]
