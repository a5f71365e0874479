"""The page: whole at every stage, safe with hostile text, self-contained, and small."""

import base64
import hashlib
import json
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from homespun.common.errors import UsageError
from homespun.report.page import CHAPTERS
from homespun.report.read_run import RunData, read_run
from homespun.report.token_pictures import coloured_text, longest_tokens, show_bytes
from homespun.report.write import write_report

MakeRun = Callable[..., Path]
VOID = {"meta", "input", "link", "br", "img", "hr"}
HOSTILE = "</pre><script>alert(1)</script><img src=x onerror=alert(2)>\" onmouseover='alert(3)' \x00\x1b[31m\u202egnp"
SIZE_BOUND = 2_000_000


class Checker(HTMLParser):
    """Collects tags and attributes, and complains about tags that do not close in order."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"<{tag}> has an attribute twice: {names}"
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open[-1] == tag, f"</{tag}> closes <{self.open[-1]}>"
        self.open.pop()

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def check(page: str) -> Checker:
    """Parse a page; it must be well nested and its ids unique."""
    checker = Checker()
    checker.feed(page)
    checker.close()
    assert not checker.open
    ids = [attributes["id"] for _, attributes in checker.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = {f"#{one}" for one in ids}
    assert all(attributes["href"] in targets for tag, attributes in checker.tags if tag == "a")
    for _, attributes in checker.tags:
        for key in ("aria-labelledby", "for"):
            assert all(f"#{one}" in targets for one in (attributes.get(key) or "").split())
    return checker


def page_of(run: Path) -> str:
    """Write the report of a run and read it back."""
    path = write_report(run)
    assert path == run / "report.html"
    return path.read_text("utf-8")


@pytest.mark.parametrize("stage", ["corpus", "tokenizer", "tokens", "training", "finished"])
def test_every_stage_has_every_chapter(make_run: MakeRun, tmp_path: Path, stage: str) -> None:
    page = page_of(make_run(tmp_path / "run", stage, steps=600))
    checker = check(page)
    sections = [attributes["id"] for tag, attributes in checker.tags if tag == "section"]
    assert sections == [identity for identity, _, _ in CHAPTERS]
    assert ("This run is not finished" in page) == (stage != "finished")
    assert ("Not yet." in page) == (stage not in {"training", "finished"})
    assert not re.search(r"\b(nan|NaN|None|inf|Infinity)\b", re.sub(r"(?s)<script>.*?</script>", "", page))


def test_the_finished_page_says_what_came_out(finished_run: Path) -> None:
    page = page_of(finished_run)
    result = json.loads((finished_run / "result.json").read_text())
    bits = f"{result['bits_per_byte']:.2f}"
    assert f"Your model needs {bits} bits for each byte of text it has never seen; gzip needs 1.98" in page
    words = " ".join(check(page).words)
    for expected in ("byte frequencies", "files left out: not text", "notes/<locked>.md", "28.6 MB of text", "SwiGLU",
                     "blocks.0\u20135.attention.output.weight", "\u00d7 6", "homespun train --resume",
                     f"--config {finished_run}/config.toml", "4 heads of 64, 2 for keys"):  # fmt: skip
        assert expected in words.replace("\u202f", " "), expected


def test_nothing_is_loaded_and_only_our_script_may_run(finished_run: Path) -> None:
    page = page_of(finished_run)
    checker = check(page)
    assert not {"link", "img", "iframe", "object", "embed", "base", "form", "video"} & {tag for tag, _ in checker.tags}
    for _, attributes in checker.tags:
        assert not {"src", "srcset", "xlink:href", "data", "action"} & set(attributes)
        assert not [name for name in attributes if name.startswith("on")]
    style = page.partition("<style>")[2].partition("</style>")[0]
    assert "url(" not in style and "@import" not in style
    assert "http://www.w3.org/2000/svg" in page  # the name of SVG in the script, which is no address to load
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", page)
    assert page.count("<script>") == 1 and "default-src 'none'" in page
    digest = re.search(r"sha256-([A-Za-z0-9+/=]+)", page)
    script = page.partition("<script>")[2].partition("</script>")[0]
    assert digest and digest[1] == base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()


def test_hostile_text_stays_text(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", steps=600)

    def poison(value: object) -> object:
        if isinstance(value, dict):
            return {f"{key}": poison(item) for key, item in value.items()} | {f"<b>{HOSTILE}": HOSTILE}
        if isinstance(value, list):
            return [poison(item) for item in value] + [HOSTILE]
        return HOSTILE if isinstance(value, str) else value

    for path in [*run.glob("*.json"), *run.glob("*/*.json")]:
        if path.name != "tokenizer.json":
            path.write_text(json.dumps(poison(json.loads(path.read_text()))))
    model = json.loads((run / "model.json").read_text())
    model["table"].append({"name": HOSTILE, "shape": [HOSTILE, 3], "parameters": 3})
    (run / "model.json").write_text(json.dumps(model))
    with open(run / "samples.jsonl", "a") as file:
        file.write(json.dumps({"step": 601, "prompt": HOSTILE, "text": f"{HOSTILE}\ud800 lone"}) + "\n")
    (run / "config.toml").write_text(f"name = '{HOSTILE}'")
    page = page_of(run)
    checker = check(page)
    assert [tag for tag, _ in checker.tags].count("script") == 1
    assert not any(tag in {"img", "b"} for tag, _ in checker.tags)
    assert not any(name.startswith("on") for _, attributes in checker.tags for name in attributes)
    assert "\x00" not in page and "\x1b" not in page and "\u202e" not in page
    assert "&lt;script&gt;alert(1)" in page


@pytest.mark.parametrize("name", ["run.json", "config.toml", "plan.json", "environment.json", "corpus/manifest.json",
                                  "tokenizer.json", "tokens/manifest.json", "model.json", "metrics.jsonl",
                                  "samples.jsonl", "result.json"])  # fmt: skip
def test_any_file_may_be_missing_damaged_or_of_another_shape(short_run: Path, tmp_path: Path, name: str) -> None:
    run = tmp_path / "run"
    shutil.copytree(short_run, run)
    path = run / name
    whole = path.read_bytes()
    path.unlink()
    check(page_of(run))
    for content in (whole[: len(whole) // 2], b"\xff\xfe\x00", b'{"splits": 3, "plan": [null]}',
                    b"[" * 100_000, b"null\n" * 3):  # fmt: skip
        path.write_bytes(content)
        check(page_of(run))
    if name.endswith(".json"):
        path.write_bytes(whole[: len(whole) // 2])
        assert f"{name} (damaged)" in page_of(run)
        emptied = json.dumps(json.loads(whole), default=str)
        for junk in ("NaN", "-1", "1e999", "[]", '"x"'):
            path.write_text(re.sub(r"(?<=: )-?[\d.]+(e-?\d+)?(?=[,}\]])", junk, emptied))
            check(page_of(run))


def test_lines_cut_off_are_left_out(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", "training", steps=600)
    path = run / "metrics.jsonl"
    before = len(read_run(run).training)
    with open(path, "ab") as file:
        file.write(b'{"kind": "train", "step": 610, "lo')
    data = read_run(run)
    assert len(data.training) == before and not data.unreadable  # the run is writing this line now
    with open(path, "ab") as file:
        file.write(b'\n\xff\xfe broken\n{"kind": "train", "step": 620, "loss": 3.0}\n')
    data = read_run(run)
    assert data.training.last("step") == 620 and data.unreadable == ["metrics.jsonl (2 damaged lines left out)"]


def test_a_resumed_run_tells_each_step_once(tmp_path: Path) -> None:
    records = [{"kind": "train", "step": step, "loss": step / 10} for step in (10, 20, 30, 40)]
    records += [{"kind": "train", "step": step, "loss": step / 100} for step in (30, 40, 50)]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    samples = [{"step": step, "text": word} for step, word in ((10, "a"), (30, "b"), (20, "c"), (30, "d"))]
    (tmp_path / "samples.jsonl").write_text("".join(json.dumps(sample) + "\n" for sample in samples))
    data = read_run(tmp_path)
    assert list(data.training["step"]) == [10, 20, 30, 40, 50]
    assert list(data.training["loss"]) == [1.0, 2.0, 0.3, 0.4, 0.5]
    assert [sample.text for sample in data.samples] == ["a", "c", "d"]


def test_a_diverged_run_can_be_shown(tmp_path: Path) -> None:
    lines = [f'{{"kind": "train", "step": {step}, "tokens": {step * 100}, "loss": {loss}}}'
             for step, loss in enumerate(["9.1", "1e80", "NaN", "Infinity", "-Infinity", "1e999"], 1)]  # fmt: skip
    lines.append('{"kind": "validation", "step": 8, "tokens": 800, "loss": 5000.0, "bits_per_byte": 1900.0}')
    (tmp_path / "metrics.jsonl").write_text("\n".join(lines))
    check(page_of(tmp_path))


def test_no_run_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"there is no run folder .*; give the folder"):
        write_report(tmp_path / "absent")
    with pytest.raises(UsageError, match="holds no run"):
        write_report(tmp_path)


def test_a_long_run_stays_small(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", steps=120_000)
    with open(run / "samples.jsonl", "a") as file:
        long = {"prompt": "p" * 5000, "text": "word " * 5000}
        file.writelines(json.dumps({"step": step} | long) + "\n" for step in range(120_001, 120_400))
    assert len(read_run(run).training) == 12_000
    assert len(page_of(run).encode()) < SIZE_BOUND


def test_the_first_and_the_last_sample_are_shown(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", steps=600)
    records = [{"step": step, "text": f"moment-{step}."} for step in range(1, 101)]
    (run / "samples.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    moments = [int(step) for step in re.findall(r"moment-(\d+)\.</blockquote>", page_of(run))]
    assert moments[0] == 1 and moments[-1] == 100 and moments == sorted(moments) and 5 <= len(moments) <= 10


def test_the_validation_text_is_read_from_its_shard(make_run: MakeRun, tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    run = make_run(tmp_path / "run", "tokens")
    table = pyarrow.table({"text": ["  \n", "return self.path " * 900], "source": ["a", "b"]})
    pyarrow.parquet.write_table(table, run / "corpus" / "validation-00000.parquet")
    data = read_run(run)
    assert data.validation_text.startswith("return self.path") and len(data.validation_text) == 2000
    assert "The beginning of the validation text" in page_of(run)
    (run / "corpus" / "validation-00000.parquet").write_bytes(b"PAR1 no parquet")
    assert read_run(run).validation_text == ""


def test_tokens_are_shown_as_they_are(finished_run: Path) -> None:
    data: RunData = read_run(finished_run)
    assert data.tokenizer is not None
    text = "def read_lines(path):\n    return 'Größe' <b>\n"
    picture, tokens, length = coloured_text(data.tokenizer, text)
    assert tokens == len(data.tokenizer.encode(text)) == picture.count('<span class="token')
    assert length == len(text.encode())
    checker = Checker()
    checker.feed(picture)
    shown = "".join(checker.words).replace("↵\n", "\n").replace("·", " ")
    assert shown == text or "⟨" in shown
    lengths = [len(raw) for raw in longest_tokens(data.tokenizer)]
    assert lengths == sorted(lengths, reverse=True) and lengths[0] >= 8
    assert show_bytes(b"\xe2\x80") == "⟨e2 80⟩" and show_bytes("é".encode()) == "é"
