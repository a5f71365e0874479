"""The picture of word vectors: well formed, self-contained, safe with hostile words, and no name upon another."""

import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homespun.common.errors import UsageError
from homespun.report.word_map import HEIGHT, WIDTH, Box, free_box, name_width, word_map
from homespun.report.word_vectors_page import map_page, map_svg, map_words
from homespun.training.word_vectors.vectors import WordVectors

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "</svg><script>alert(1)</script>\"'&\x00\u202e"


def some_vectors(number: int = 80) -> WordVectors:
    words = (*(f"word{place}" for place in range(number - 2)), HOSTILE, "ভাষা")
    chance = np.random.default_rng(1)
    return WordVectors(words, chance.standard_normal((number, 6), np.float32), np.arange(number, 0, -1))


def test_the_picture_alone_is_well_formed() -> None:
    picture = map_svg(map_words(some_vectors(), [], 150))
    root = ElementTree.fromstring(picture)
    dots, names = root.findall(f"{SVG}circle"), root.findall(f"{SVG}text")
    assert len(dots) == 80
    assert 40 <= len(names) <= 80
    assert {title.text for dot in dots if (title := dot.find(f"{SVG}title")) is not None} >= {"word0", "ভাষা"}
    for dot in dots:
        assert 0 < float(dot.attrib["cx"]) < WIDTH and 0 < float(dot.attrib["cy"]) < HEIGHT
    assert "prefers-color-scheme: dark" in picture
    assert "<script" not in picture and not re.search(r"(?:href|src|url\()", picture)


def test_the_page_has_the_picture_and_a_table() -> None:
    page = map_page(map_words(some_vectors(), [], 30))
    assert page.count("<circle") == 30 and page.count("<tr>") == 31
    assert "default-src 'none'" in page and "<script" not in page
    assert "30 words" in page and "of 80, with 6 dimensions" in page


def test_chosen_words_once_each_and_unknown_ones_named() -> None:
    found = map_words(some_vectors(), ["ভাষা", "word3", "word3"], 150)
    assert found.words == ("ভাষা", "word3")
    assert found.counts == (1, 77)
    assert "ভাষা" not in {neighbour.word for neighbour in found.neighbours[0]}
    with pytest.raises(UsageError, match="did you mean word3"):
        map_words(some_vectors(), ["word_3"], 150)


def test_few_or_equal_words_can_be_drawn() -> None:
    for vectors in (np.ones((1, 3)), np.zeros((4, 3)), np.eye(2)):
        found = WordVectors(tuple("abcd"[: len(vectors)]), vectors.astype(np.float32))
        picture = map_svg(map_words(found, [], 9))
        assert "nan" not in picture
        ElementTree.fromstring(picture)


points = st.lists(st.tuples(st.floats(-9, 9), st.floats(-9, 9)), min_size=1, max_size=60)


@given(points)
@settings(deadline=None, max_examples=40)
def test_no_name_lies_upon_another(places: list[tuple[float, float]]) -> None:
    words = [f"name{number}" for number in range(len(places))]
    root = ElementTree.fromstring(word_map(words, places, title="words"))
    boxes = []
    for name in root.findall(f"{SVG}text"):
        left, bottom = float(name.attrib["x"]), float(name.attrib["y"]) + 3
        boxes.append(Box(left, bottom - 12, left + name_width(name.text or ""), bottom))
    # Places are rounded to a tenth in the picture.
    small = [Box(box.left + 0.1, box.top + 0.1, box.right - 0.1, box.bottom - 0.1) for box in boxes]
    assert not any(one.overlaps(other) for place, one in enumerate(small) for other in small[:place])


def test_a_name_goes_where_there_is_room() -> None:
    everything = Box(0, 0, WIDTH, HEIGHT)
    assert free_box(400, 300, 50, [everything]) is None
    right = free_box(400, 300, 50, [])
    assert right is not None and right.left > 400
    left = free_box(WIDTH - 10, 300, 50, [])
    assert left is not None and left.right < WIDTH - 10
