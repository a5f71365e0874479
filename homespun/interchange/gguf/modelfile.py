"""``Weights`` and the GGUF file made of them -> a ``Modelfile``, from which ``ollama create`` makes a model.

A model without a chat template continues texts: its prompt is the text, behind the token that divides documents, as
``homespun generate`` has it. Chat templates are written in Jinja, ollama's in the template language of Go. That of
ChatML (``<|im_start|>role``) is written here; any other is left to ollama, which knows the usual ones by their text.

Source: ollama's ``docs/modelfile.md`` and ``docs/template.md``.
"""

import os
from pathlib import Path

from homespun.common.files import write_atomic
from homespun.interchange.weights import Weights
from homespun.tokenizer.special import END_OF_TURN, START_OF_TURN

FILE_NAME = "Modelfile"
COMPLETION = "{{ .Prompt }}"
CHATML = "{{ range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}<|im_start|>assistant\n"


def write_modelfile(path: Path, weights: Weights, gguf: Path) -> Path:
    """Write ``path``, or ``path/Modelfile`` if that is a folder; return where it was written.

    ``gguf``: the file that ``write_gguf`` wrote, named in it relative to where the Modelfile stands.
    """
    target = path / FILE_NAME if path.is_dir() else path
    source = Path(os.path.relpath(gguf, target.parent)).as_posix()
    template, stops, remark = choose_template(weights)
    lines = ["# ollama create NAME -f Modelfile", f"FROM ./{source}"]
    lines += [remark] if remark else []
    lines += [f'TEMPLATE """{template}"""'] if template is not None else []
    lines.append(f"PARAMETER num_ctx {weights.config.context}")
    lines += [f"PARAMETER stop {stop}" for stop in stops]
    write_atomic(target, "\n".join(lines) + "\n")
    return target


def choose_template(weights: Weights) -> tuple[str | None, list[str], str | None]:
    """The template, or None for ollama's own choice; the texts that end an answer; a remark for whoever reads it."""
    tokenizer = weights.tokenizer
    end_of_text = tokenizer.vocabulary.end_of_text
    chat = tokenizer.chat_template
    if chat is None:
        return end_of_text + COMPLETION, [end_of_text], None
    if START_OF_TURN in chat and END_OF_TURN in chat:
        return CHATML, [END_OF_TURN, end_of_text], None
    return None, [end_of_text], "# ollama takes the template that it knows for the chat template in the GGUF file"
