"""``Weights`` and the GGUF file made of them -> a ``Modelfile``, from which ``ollama create`` makes a model.

A model without a chat template continues texts: its prompt is the text, behind the token that divides documents, as
``homespun generate`` has it. Chat templates are written in Jinja, ollama's in the template language of Go. That of
ChatML (``<|im_start|>role``) is written here; any other is left to ollama, which knows the usual ones by their text.

ollama runs some architectures with llama.cpp and others, qwen3 among them, with code of its own. That splits texts of
qwen3 as ``qwen2`` does, whatever name the file has: the Modelfile says so where the tokenizer splits otherwise.

Source: ollama's ``docs/modelfile.md``, ``docs/template.md`` and ``model/models/qwen3/model.go``.
"""

import os
from pathlib import Path

from homespun.common.files import write_atomic
from homespun.interchange.gguf.architectures import find_architecture
from homespun.interchange.weights import Weights
from homespun.models.settings import GPTConfig
from homespun.tokenizer.special import END_OF_TURN, START_OF_TURN

FILE_NAME = "Modelfile"
COMPLETION = "{{ .Prompt }}"
CHATML = "{{ range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}<|im_start|>assistant\n"
LEFT_TO_OLLAMA = "# ollama takes the template that it knows for the chat template in the GGUF file"
SPLIT_OF_QWEN3 = "qwen2"
OTHER_SPLIT = "# ollama splits texts of this architecture as qwen2 does: for some it reads other tokens than homespun"


def write_modelfile(path: Path, weights: Weights, gguf: Path) -> Path:
    """Write ``path``, or ``path/Modelfile`` if that is a folder; return where it was written.

    ``gguf``: the file that ``write_gguf`` wrote, named in it relative to where the Modelfile stands.
    """
    target = path / FILE_NAME if path.is_dir() else path
    source = Path(os.path.relpath(gguf, target.parent)).as_posix()
    template, stops = choose_template(weights)
    lines = ["# ollama create NAME -f Modelfile", f"FROM ./{source}"]
    lines.append(LEFT_TO_OLLAMA if template is None else f'TEMPLATE """{template}"""')
    config = weights.config
    assert isinstance(config, GPTConfig)  # or there would be no file to name
    if weights.tokenizer.pattern != SPLIT_OF_QWEN3 and find_architecture(config).name == "qwen3":
        lines.append(OTHER_SPLIT)
    lines.append(f"PARAMETER num_ctx {config.context}")
    lines += [f"PARAMETER stop {stop}" for stop in stops]
    write_atomic(target, "\n".join(lines) + "\n")
    return target


def choose_template(weights: Weights) -> tuple[str | None, list[str]]:
    """The template, or None for ollama's own choice; and the texts that end an answer."""
    tokenizer = weights.tokenizer
    end_of_text = tokenizer.vocabulary.end_of_text
    chat = tokenizer.chat_template
    if chat is None:
        return end_of_text + COMPLETION, [end_of_text]
    if START_OF_TURN in chat and END_OF_TURN in chat:
        return CHATML, [END_OF_TURN, end_of_text]
    return None, [end_of_text]
