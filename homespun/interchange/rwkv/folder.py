"""The format's two functions: a checkpoint of RWKV-7 read, and one written with its tokenizer beside it.

The authors' files hold weights alone. What they cannot say, the length of a training window, homespun writes into the
header of the file; of other files it is taken to be the 4,096 of the released models.
"""

from pathlib import Path

import torch

from homespun.common.errors import DamagedFileError, HomespunError, UsageError
from homespun.common.progress import Advance
from homespun.interchange.huggingface.companions.text import MOST_PADDING, without_padding
from homespun.interchange.huggingface.tokenizer_files import read_tokenizer, write_tokenizer
from homespun.interchange.huggingface.writing import METADATA, NUMBERS, rounded
from homespun.interchange.manifest import check_manifest
from homespun.interchange.options import Reading, Writing
from homespun.interchange.rwkv.names import USELESS, Pair, pairs_of
from homespun.interchange.rwkv.shapes import config_of, is_rwkv, shape_of
from homespun.interchange.stored import TensorSource, open_tensors
from homespun.interchange.stored.opening import SINGLE
from homespun.interchange.stored.safetensors_file import SafetensorsFile
from homespun.interchange.weights import Weights
from homespun.models.settings import ModelConfig, RWKVConfig
from homespun.tokenizer.tokenizer import Tokenizer
from homespun.training.checkpoint import write_tensors

PUBLISHED_CONTEXT, CONTEXT = 4096, "context"
LONGEST_NUMBER = 10  # digits
EPSILON = RWKVConfig.norm_epsilon
HEAD = "head.weight"


def read_folder(path: Path, options: Reading) -> Weights:
    """A file of weights, or the folder of one; the tokenizer lies beside it or is named in ``options``."""
    folder = path if path.is_dir() else path.parent
    check_manifest(folder)
    source = open_tensors(path)
    if not is_rwkv(source):
        raise HomespunError(f"{path} has no config.json beside it, and its tensors are not those of an RWKV-7")
    context = context_of(source)
    if options.context > context:
        raise UsageError(f"--context is {options.context:,}; the model has seen at most {context:,} tokens at once")
    config = config_of(source, options.context or context)
    tokenizer = tokenizer_of(folder, options)
    padding = config.vocabulary_size - tokenizer.vocabulary_size
    if not 0 <= padding <= MOST_PADDING:
        raise HomespunError(
            f"{folder}: the tokenizer has {tokenizer.vocabulary_size:,} tokens, the embedding "
            f"{config.vocabulary_size:,} rows; they do not belong together: name the right one with --tokenizer"
        )
    options.begin(sum(source.read(name).numel() for name in source.names()))
    tensors = tensors_of(source, config, options.advance)
    if padding:
        options.warn(f"the last {padding:,} rows of the embedding, which stand for no token, are left out")
        return Weights(*without_padding(config, tensors, tokenizer.vocabulary_size), tokenizer)
    return Weights(config, tensors, tokenizer)


def context_of(source: TensorSource) -> int:
    """What homespun wrote into the header, or what the released models have."""
    said = source.metadata.get(CONTEXT) if isinstance(source, SafetensorsFile) else None
    if not isinstance(said, str) or not said.isdecimal() or len(said) > LONGEST_NUMBER:
        return PUBLISHED_CONTEXT
    return int(said) if 0 < int(said) < 1 << 31 else PUBLISHED_CONTEXT


def tokenizer_of(folder: Path, options: Reading) -> Tokenizer:
    """Beside the weights, or named; the released models come without."""
    if options.tokenizer is None and not (folder / "tokenizer.json").is_file():
        raise UsageError(
            f"{folder} has no tokenizer.json; name one with --tokenizer (the Pile models have GPT-NeoX's; the greedy "
            "vocabulary of the World models is none that homespun has)"
        )
    return read_tokenizer(folder, options.tokenizer, options.end_of_text, options.warn)


def tensors_of(source: TensorSource, config: RWKVConfig, advance: Advance) -> dict[str, torch.Tensor]:
    """Every tensor under our name, in fp32; a tied head is left out."""
    pairs = {pair.theirs: pair for pair in pairs_of(config)}
    for name in source.names():
        if name not in pairs and name not in USELESS:
            raise DamagedFileError(f"{source.file(name)} has a tensor {name} that RWKV-7 does not have")
    tensors = {}
    for pair in pairs.values():
        tensors[pair.ours] = read_pair(source, pair)
        advance(tensors[pair.ours].numel())
    if config.tied_embeddings:
        del tensors[HEAD]
    return tensors


def read_pair(source: TensorSource, pair: Pair) -> torch.Tensor:
    """One tensor as we have it; files differ in whether a vector is (C,) or (1, 1, C)."""
    shape = shape_of(source, pair.theirs)
    where = source.file(pair.theirs)
    if not source.is_float(pair.theirs):
        raise DamagedFileError(
            f"{where}: {pair.theirs} has the type {source.type_name(pair.theirs)}; weights are floating-point numbers"
        )
    if without_ones(shape) != without_ones(pair.shape):
        raise DamagedFileError(f"{where}: {pair.theirs} has shape {shape}, the other tensors ask for {pair.shape}")
    values = source.read(pair.theirs).float()
    if not bool(values.isfinite().all()):
        raise DamagedFileError(f"{where} is damaged: {pair.theirs} has numbers that are infinite or no numbers")
    return pair.from_theirs(values)


def without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Without axes of length one."""
    return tuple(side for side in shape if side != 1)


def write_folder(weights: Weights, folder: Path, options: Writing) -> None:
    """``model.safetensors`` under the authors' names, and the tokenizer as Hugging Face's files."""
    config = check_config(weights.config)
    kind, tensors = NUMBERS[options.number], dict(weights.tensors)
    tensors.setdefault(HEAD, tensors["token_embedding.weight"])
    write_tokenizer(weights.tokenizer, config.context, folder)
    options.begin(sum(tensor.numel() for tensor in tensors.values()))
    stored = {}
    for pair in pairs_of(config):
        # A copy, so that no two tensors of the file share memory, as those of a tied head would.
        stored[pair.theirs] = rounded(pair.to_theirs(tensors[pair.ours]), kind, pair.theirs).clone()
        options.advance(stored[pair.theirs].numel())
    write_tensors(stored, folder / SINGLE, METADATA | {CONTEXT: str(config.context)})


def check_config(config: ModelConfig) -> RWKVConfig:
    """What the format has no place for is refused."""
    if not isinstance(config, RWKVConfig):
        raise HomespunError(
            f"--format rwkv is for model.architecture rwkv, this is {config.architecture}; --format safetensors keeps "
            "the model as it is"
        )
    if config.norm_epsilon != EPSILON:
        raise HomespunError(
            f"model.norm_epsilon is {config.norm_epsilon} and not {EPSILON}, as in every RWKV-7; --format safetensors "
            "keeps the model as it is"
        )
    return config
