"""All contenders by name. Left out by name: ``splintr``.

On the package index ``splintr`` (0.0.5) splits neural networks over several GPUs and is no tokenizer; the BPE library
of that name, a Rust crate with Python bindings, is called ``splintr-rs`` there.
"""

from tokenizer_peers.contender import Contender
from tokenizer_peers.fastokens_side import Fastokens
from tokenizer_peers.gigatoken_side import Gigatoken
from tokenizer_peers.homespun_side import Homespun
from tokenizer_peers.rustbpe_side import Rustbpe
from tokenizer_peers.tiktoken_side import Tiktoken
from tokenizer_peers.tokenizers_side import Tokenizers

OURS, REFERENCE = "homespun", "tiktoken"
CONTENDERS: dict[str, type[Contender]] = {
    kind.name: kind for kind in (Homespun, Tiktoken, Gigatoken, Fastokens, Tokenizers, Rustbpe)
}
