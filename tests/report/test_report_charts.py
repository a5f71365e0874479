"""Charts: nothing leaves the view box whatever the numbers, ticks are round, spikes survive, labels keep apart."""

import html
import json
import math
import re
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from homespun.report.charts import (
    Axis,
    Level,
    Line,
    downsample,
    line_chart,
    logarithmic_ticks,
    nice_ticks,
    smooth,
    spread_labels,
)
from homespun.report.diagram import decoder_drawing
from homespun.report.wording import significant

ANY = st.floats(allow_nan=True, allow_infinity=True)
USUAL = st.floats(-1e6, 1e6) | st.floats(0.001, 10) | st.just(2.5)
POINTS = st.lists(st.tuples(ANY | USUAL, ANY | USUAL), max_size=40)
FINITE = st.floats(-1e12, 1e12)


def coordinates(picture: str) -> list[tuple[float, float]]:
    """Every place that a chart draws a line or a dot at."""
    places = []
    for way in re.findall(r' d="([^"]*)"', picture):
        pen = (0.0, 0.0)
        for command, numbers in re.findall(r"([MLHV])([^MLHV]*)", way):
            values = [float(one) for one in numbers.split()]
            across = values[0] if command in "MLH" else pen[0]
            pen = (across, values[-1] if command in "MLV" else pen[1])
            places.append(pen)
    places += [(float(x), float(y)) for x, y in re.findall(r'cx="([^"]*)" cy="([^"]*)"', picture)]
    places += [(float(x), float(y)) for x, y in re.findall(r'<text class="[^"]*" x="([^"]*)" y="([^"]*)"', picture)]
    return places


def draw(points: list[tuple[float, float]], levels: list[float], log_x: bool, log_y: bool, narrow: bool) -> str:
    """A chart of arbitrary numbers."""
    xs, ys = [x for x, _ in points], [y for _, y in points]
    lines = [Line("raw", xs, ys, "raw", sets_range=False), Line("smoothed", xs, smooth(ys), "training", dots=True)]
    return line_chart(
        lines, Axis("tokens", significant, log_x), Axis("loss", significant, log_y, from_zero=not log_y and narrow),
        title="a <title>", description="words & more", identity="one", width=400 if narrow else 860,
        height=300, levels=[Level(f"level {index}", level, "gzip") for index, level in enumerate(levels)],
    )  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(POINTS, st.lists(ANY | USUAL, max_size=5), st.booleans(), st.booleans(), st.booleans())
def test_every_point_is_inside_the_view_box(
    points: list[tuple[float, float]], levels: list[float], log_x: bool, log_y: bool, narrow: bool
) -> None:
    picture = draw(points, levels, log_x, log_y, narrow)
    if not picture:
        return
    width = 400 if narrow else 860
    assert "nan" not in picture.lower() and "inf" not in re.sub(r">[^<]*<", "><", picture)
    for x, y in coordinates(picture):
        assert 0 <= x <= width and 0 <= y <= 300, (x, y)
    data = json.loads(html.unescape(re.findall(r'data-points="([^"]*)"', picture)[0]))
    for line in data["lines"]:
        assert len(line["x"]) == len(line["y"]) == len(line["at"]) == len(line["value"])


def test_a_chart_shows_its_numbers_in_the_right_places() -> None:
    picture = line_chart(
        [Line("loss", [0, 50, 100], [4.0, 3.0, 2.0], "training")], Axis("tokens", significant),
        Axis("loss", significant), title="Loss", description="falls", identity="x", levels=[Level("gzip", 2.5, "gzip")],
    )  # fmt: skip
    (line,) = re.findall(r'class="line line-training" d="([^"]*)"', picture)
    (x0, y0), (x1, y1), (x2, y2) = coordinates(f' d="{line}"')
    assert x0 < x1 < x2 and y0 < y1 < y2  # SVG's y grows downwards
    assert math.isclose(x1, (x0 + x2) / 2, abs_tol=0.1) and math.isclose(y1, (y0 + y2) / 2, abs_tol=0.1)
    (level,) = re.findall(r'class="level level-gzip" d="([^"]*)"', picture)
    assert math.isclose(coordinates(f' d="{level}"')[0][1], (y1 + y2) / 2, abs_tol=0.2)
    assert "<title" in picture and 'role="img"' in picture and ">gzip 2.5<" in picture


def test_a_spike_is_cut_at_the_edge_instead_of_squeezing_the_rest() -> None:
    heights = [3.0 - index / 1000 for index in range(1000)]
    heights[500] = 1e6
    line = Line("raw", list(range(1000)), heights, "raw", sets_range=False)
    picture = line_chart([line], Axis("x", significant), Axis("y", significant), title="", description="", identity="z")
    places = coordinates(re.findall(r'(?s)class="line line-raw"( d="[^"]*")', picture)[0])
    assert min(y for _, y in places) >= 26 and all(0 <= x <= 860 for x, _ in places)
    assert places[-1][1] - places[0][1] > 200  # the slow fall still fills the picture


def test_nothing_to_draw_is_an_empty_string() -> None:
    assert draw([], [1.0], False, False, False) == ""
    assert draw([(math.nan, 1.0), (1.0, math.inf)], [], False, False, False) == ""
    assert draw([(-1.0, 5.0)], [], True, False, False) == ""
    assert draw([(1.0, 5.0)], [], True, True, False) != ""


@given(FINITE, st.floats(1e-6, 1e9), st.integers(2, 9))
def test_ticks_are_round_inside_and_few(low: float, share: float, wanted: int) -> None:
    high = low + max(share, abs(low) * 1e-5)
    ticks = nice_ticks(low, high, wanted)
    slack = (high - low) * 1e-6
    assert ticks == sorted(set(ticks)) and len(ticks) <= wanted + 1
    assert all(low - slack <= tick <= high + slack for tick in ticks)


def test_ticks_of_known_ranges() -> None:
    assert nice_ticks(0, 10, 5) == [0, 2, 4, 6, 8, 10]
    assert nice_ticks(1.3, 2.9, 4) == [1.5, 2.0, 2.5]
    assert logarithmic_ticks(1, 1000) == [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000]
    assert logarithmic_ticks(1, 1e12, 6) == [1e0, 1e2, 1e4, 1e6, 1e8, 1e10, 1e12]


@given(st.lists(st.tuples(FINITE, FINITE), max_size=400), st.integers(4, 60))
def test_downsampling_keeps_ends_and_extremes(points: list[tuple[float, float]], most: int) -> None:
    points = sorted(points)
    kept = downsample(points, most)
    assert len(kept) <= max(most, 4) and kept == sorted(kept, key=lambda point: point[0]) and set(kept) <= set(points)
    if points:
        assert kept[0] == points[0] and kept[-1] == points[-1]
        heights, kept_heights = [y for _, y in points], [y for _, y in kept]
        assert min(kept_heights) == min(heights) and max(kept_heights) == max(heights)


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=80), st.integers(1, 10))
def test_smoothing_stays_within_its_values(values: list[float], window: int) -> None:
    smoothed = smooth(values, window)
    assert len(smoothed) == len(values) and math.isclose(smoothed[0], values[0], abs_tol=1e-9)
    assert all(min(values) - 1e-9 <= one <= max(values) + 1e-9 for one in smoothed)


def test_smoothing_of_a_straight_line_does_not_lag() -> None:
    values = [10.0 - 0.1 * step for step in range(100)]
    assert all(math.isclose(a, b, abs_tol=1e-9) for a, b in zip(smooth(values, 5)[:95], values[:95], strict=True))
    assert math.isnan(smooth([1.0, math.nan, 3.0])[1])


@given(st.lists(st.floats(-50, 450), min_size=1, max_size=12))
def test_labels_keep_apart(places: list[float]) -> None:
    moved = sorted(spread_labels(places, 20, 360, gap=16))
    assert moved[0] >= 20 and moved[-1] <= 360 + 1e-6
    assert all(after - before >= 16 - 1e-6 for before, after in pairwise(moved))


def test_the_drawing_follows_the_configuration() -> None:
    modern = decoder_drawing({"width": 64, "layers": 3, "heads": 4, "vocabulary_size": 300, "tied_embeddings": True})
    assert "RMSNorm" in modern and "SwiGLU" in modern and "rotary" in modern and "64 → 192 → 64" in modern
    old = decoder_drawing({"width": 64, "layers": 3, "heads": 4, "positions": "learned", "normalization": "layer",
                           "feedforward": "gelu", "vocabulary_size": 300})  # fmt: skip
    assert "LayerNorm" in old and "GELU" in old and "learned positions" in old and "64 → 256 → 64" in old
    assert "rotary" not in old and "the same weights" not in old
    assert decoder_drawing({}) == "" and decoder_drawing({"width": "<b>", "layers": 2}) == ""
