"""Word vectors on the disk: a folder that is whole or refused, and the text format that others read and write."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from homespun.common.errors import DamagedFileError, HomespunError, UsageError
from homespun.common.files import sha256_of_file
from homespun.training.word_vectors.settings import WordVectorConfig
from homespun.training.word_vectors.storage import load_word_vectors, save_word_vectors
from homespun.training.word_vectors.text_format import read_text_format, write_text_format
from homespun.training.word_vectors.vectors import WordVectors

CONFIG = WordVectorConfig(dimensions=3, method="cbow", threads=2)


def some_vectors() -> WordVectors:
    chance = np.random.default_rng(1)
    words = ("king", "queen", "বাংলা", "हिन्दी")
    return WordVectors(words, chance.standard_normal((4, 3), np.float32), np.array([9, 7, 5, 5]), CONFIG)


def same(found: WordVectors, expected: WordVectors) -> None:
    assert found.words == expected.words
    assert found.vectors.dtype == np.float32
    assert np.array_equal(found.vectors, expected.vectors)


words = st.lists(
    st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"]), min_size=1, max_size=9).filter(
        lambda word: word.split() == [word]
    ),
    min_size=1, max_size=9, unique=True,
)  # fmt: skip
numbers = st.floats(width=32, allow_nan=False, allow_infinity=False)


@st.composite
def any_vectors(draw: st.DrawFn) -> WordVectors:
    chosen, dimensions = draw(words), draw(st.integers(1, 5))
    row = st.lists(numbers, min_size=dimensions, max_size=dimensions)
    rows = draw(st.lists(row, min_size=len(chosen), max_size=len(chosen)))
    return WordVectors(tuple(chosen), np.array(rows, np.float32))


@given(found=any_vectors())
@settings(deadline=None, max_examples=60)
def test_both_forms_give_every_bit_back(found: WordVectors, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("vectors")
    save_word_vectors(found, folder / "ours")
    same(load_word_vectors(folder / "ours"), found)
    write_text_format(found, folder / "theirs.txt")
    same(read_text_format(folder / "theirs.txt"), found)
    assert sorted(path.name for path in folder.iterdir()) == ["ours", "theirs.txt"]


def test_a_folder_remembers_counts_and_settings(tmp_path: Path) -> None:
    expected = some_vectors()
    save_word_vectors(expected, tmp_path / "v")
    found = load_word_vectors(tmp_path / "v")
    same(found, expected)
    assert found.config == CONFIG
    assert found.counts is not None and found.counts.tolist() == [9, 7, 5, 5]
    with pytest.raises(UsageError, match="exists"):
        save_word_vectors(expected, tmp_path / "v")


def test_words_are_found_as_spelled_or_in_lower_case() -> None:
    found = some_vectors()
    assert found.find("KING") == 0 and found.find("prince") is None
    kept = WordVectors(("King", "the", "The"), np.ones((3, 2), np.float32))
    assert kept.find("king") is None and kept.find("King") == 0
    assert (kept.find("the"), kept.find("The"), kept.find("THE")) == (1, 2, 1)
    with pytest.raises(UsageError, match=r"'Quen' is not among the 4 words; did you mean queen\?"):
        found.must_find("Quen")
    with pytest.raises(UsageError, match="no known word is spelled like it"):
        found.must_find("xyzzy")


def change_json(name: str, **values: object) -> Callable[[Path], None]:
    """Change a file and its checksum, as no accident would."""

    def change(folder: Path) -> None:
        path = folder / name
        content = json.loads(path.read_text())
        path.write_text(json.dumps(content | values))
        reseal(folder)

    return change


def change_matrix(matrix: np.ndarray, name: str = "vectors") -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        save_file({name: matrix}, folder / "vectors.safetensors")
        reseal(folder)

    return change


def reseal(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["sha256"] = {name: sha256_of_file(folder / name) for name in manifest["sha256"]}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def flip(name: str, place: int) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        raw = bytearray((folder / name).read_bytes())
        raw[place] ^= 1
        (folder / name).write_bytes(raw)

    return change


ONES = np.ones((4, 3), np.float32)
DAMAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "a bit of the matrix": (flip("vectors.safetensors", -1), "does not match its sha256"),
    "a bit of the words": (flip("vocabulary.json", 30), "does not match its sha256"),
    "a missing file": (lambda folder: (folder / "settings.json").unlink(), "settings.json is missing"),
    "no JSON": (lambda folder: (folder / "manifest.json").write_text("{"), "not JSON"),
    "another version": (change_json("manifest.json", version=9), "another version"),
    "no checksums": (change_json("manifest.json", sha256=[]), "."),
    "another folder": (change_json("manifest.json", format="run"), "holds no word vectors"),
    "too few words": (change_json("vocabulary.json", words=["a", "b"]), "2 words, but 4 vectors"),
    "words twice": (change_json("vocabulary.json", words=["a", "a", "b", "c"]), "no list of different words"),
    "words of numbers": (change_json("vocabulary.json", words=[1, 2, 3, 4]), "no list of different words"),
    "too few counts": (change_json("vocabulary.json", counts=[1]), "not one count for each word"),
    "other dimensions": (change_json("settings.json", dimensions=5), "says 5 dimensions, but the vectors have 3"),
    "unknown setting": (change_json("settings.json", speed=5), "settings.json is not what it should be"),
    "a bad setting": (change_json("settings.json", window=0), "window 0"),
    "a matrix of doubles": (change_matrix(ONES.astype(np.float64)), "no matrix vectors of float32"),
    "a list of numbers": (change_matrix(ONES[0]), "no matrix vectors of float32"),
    "another name": (change_matrix(ONES, "weights"), "no matrix vectors of float32"),
    "no safetensors": (
        lambda folder: ((folder / "vectors.safetensors").write_bytes(b"\xff" * 99), reseal(folder))[1],
        "is damaged",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_folder_is_one_line(damage: str, tmp_path: Path) -> None:
    change, words = DAMAGES[damage]
    save_word_vectors(some_vectors(), tmp_path / "v")
    if damage == "no checksums":
        manifest = json.loads((tmp_path / "v" / "manifest.json").read_text()) | {"sha256": []}
        (tmp_path / "v" / "manifest.json").write_text(json.dumps(manifest))
    else:
        change(tmp_path / "v")
    with pytest.raises(HomespunError, match=words) as caught:
        load_word_vectors(tmp_path / "v")
    assert "\n" not in str(caught.value)


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(UsageError, match="holds no word vectors"):
            load_word_vectors(folder)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "line 1: not the number"),
        (b"3\n", "line 1: not the number"),
        (b"a b\n", "line 1: not the number"),
        (b"-1 3\n", "line 1: not the number"),
        (b"0 3\n", "cannot be"),
        (b"1 0\n", "cannot be"),
        (b"1 99999999\n", "cannot be"),
        (b"99999999999 300\nword 1 2\n", "cut off"),
        (b"2 2\na 1 2\n        \n", "line 3"),
        (b"3 2\na 1 2\nb 1 2\n \n\n\n", "line 4"),
        (b"2 2\na 1 2\nb 1 2.000000000\n  c", "line 4: more lines"),
        (b"2 2\na 1 2\nb 1.0000000\n", "line 3: not a word and 2 numbers"),
        (b"2 2\na 1 2\nb 1 x.......\n", "line 3: not a word and 2 numbers"),
        (b"2 2\na 1 2\na 1 2\n", "line 3: the word 'a' is there twice"),
        (b"2 2\na 1 2\nb nan 2\n", "line 3: not all numbers are finite"),
        (b"2 2\na 1 2\nb 1e99 2\n", "line 3: not all numbers are finite"),
        (b"2 2\na 1 2\n\xff 1 2\n", "line 3: the word is no UTF-8"),
        (b"2 2\na 1 2\n 1 2 \n", "line 3"),
        (b"1 2\n\x80\x02}q\x00(X", "line 2"),
    ],
)
def test_a_damaged_text_is_one_line_with_its_number(content: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "vectors.txt"
    path.write_bytes(content)
    with pytest.raises(DamagedFileError, match=words) as caught:
        read_text_format(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


def test_what_a_text_cannot_hold_or_be(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="white space"):
        write_text_format(WordVectors(("New York",), ONES[:1]), tmp_path / "x.txt")
    with pytest.raises(HomespunError, match="UTF-8"):
        write_text_format(WordVectors(("\ud800",), ONES[:1]), tmp_path / "x.txt")
    with pytest.raises(HomespunError, match="no such file"):
        write_text_format(some_vectors(), tmp_path / "absent" / "x.txt")
    with pytest.raises(HomespunError, match="no such file"):
        read_text_format(tmp_path / "absent.txt")
    assert list(tmp_path.iterdir()) == []


def test_texts_of_other_programs(tmp_path: Path) -> None:
    path = tmp_path / "vectors.txt"
    path.write_bytes("2 2\r\nNew York 1.5 -2e-3 \r\n\u00e9t\u00e9 0 1\r\n".encode())
    found = read_text_format(path)
    assert found.words == ("New York", "\u00e9t\u00e9")
    assert found.vectors.tolist() == np.array([[1.5, -2e-3], [0, 1]], np.float32).tolist()


def test_gensim_reads_what_we_write_and_we_read_what_it_writes(tmp_path: Path) -> None:
    models = pytest.importorskip("gensim.models", reason="gensim is not installed")
    expected = some_vectors()
    write_text_format(expected, tmp_path / "ours.txt")
    theirs = models.KeyedVectors.load_word2vec_format(str(tmp_path / "ours.txt"))
    assert tuple(theirs.index_to_key) == expected.words
    assert np.array_equal(theirs.vectors, expected.vectors)
    theirs.save_word2vec_format(str(tmp_path / "theirs.txt"))
    same(read_text_format(tmp_path / "theirs.txt"), expected)
