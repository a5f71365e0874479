"""Whether the token shards of a run are those that its training is to read."""

from pathlib import Path

from homespun.batches.shards import read_manifest, verify_shards
from homespun.common.errors import DamagedFileError, HomespunError
from homespun.tokenizer.tokenizer import Tokenizer


def check_shards(tokens: Path, tokenizer: Path) -> None:
    """They are whole and made with this tokenizer."""
    verify_shards(tokens)
    manifest = read_manifest(tokens)
    if manifest["tokenizer"] != Tokenizer.load(tokenizer).identity():
        raise DamagedFileError(
            f"{tokens} was made with another tokenizer than {tokenizer}; delete {tokens} and run again"
        )
    if manifest["splits"]["validation"]["tokens"] < 2:
        raise HomespunError("the validation split has no tokens; raise corpus.validation_fraction or add text")
