"""Numbers -> line charts, as strings of SVG that need no script to be read.

In: lines (x and y columns), level lines to compare with, two axes, a size in SVG units. Out: one ``<svg>``.
All functions are pure. Values that cannot be drawn (NaN, infinity, non-positive ones on a logarithmic axis) are
left out; values outside the range shown are drawn at its edge, so that nothing ever leaves the view box. Long
series keep the lowest and the highest point of each slice, so that spikes survive and the page stays small.

Colours come from the style sheet (classes ``line-…``): the same picture works on light and dark pages.
The points under a reader's pointer come from the attribute ``data-points`` (JSON), read by ``page.js``.
"""

import html
import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

MOST_POINTS = 400  # of one line
LARGEST = 1e100
LABEL_HEIGHT = 16.0
CHARACTER_WIDTH = 6.7  # of the 12-unit font, on average and rounded up


@dataclass(frozen=True)
class Axis:
    """What an axis measures, how its numbers are written, whether it is logarithmic, whether it must show zero."""

    label: str
    write: Callable[[float], str]
    logarithmic: bool = False
    from_zero: bool = False


@dataclass(frozen=True)
class Line:
    """A series to draw; ``style`` names its colour in the style sheet; ``dots`` marks each point."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    style: str
    dots: bool = False
    sets_range: bool = True  # a raw, spiky line may be cut at the edge instead of squeezing the others


@dataclass(frozen=True)
class Level:
    """A horizontal line to compare with, named at its right end."""

    name: str
    y: float
    style: str


@dataclass(frozen=True)
class Scale:
    """Maps values to places along an axis from ``start`` to ``end`` (SVG units); values outside land on the edge."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def __call__(self, value: float) -> float:
        low, high, value = (math.log10(v) if self.logarithmic else v for v in (self.low, self.high, value))
        share = min(max((value - low) / (high - low), 0.0), 1.0)
        return self.start + share * (self.end - self.start)


def drawable(value: float, logarithmic: bool = False) -> bool:
    """Whether a value has a place on an axis."""
    return math.isfinite(value) and abs(value) <= LARGEST and not (logarithmic and value < 1 / LARGEST)


def pairs(line: Line, x_logarithmic: bool, y_logarithmic: bool) -> list[tuple[float, float]]:
    """The points of a line that can be drawn."""
    return [
        (float(x), float(y))
        for x, y in zip(line.x, line.y, strict=False)
        if drawable(x, x_logarithmic) and drawable(y, y_logarithmic)
    ]


def value_range(values: Iterable[float], logarithmic: bool) -> tuple[float, float]:
    """The range an axis has to show: never empty, with a little room when all values are the same."""
    known = list(values)
    if not known:
        return (1.0, 10.0) if logarithmic else (0.0, 1.0)
    low, high = min(known), max(known)
    if logarithmic:
        return (low, high) if high / low > 1.001 else (low / 2, high * 2)
    if high - low <= max(abs(low), abs(high)) * 1e-6 or high - low < 1e-90:
        room = max(abs(high) * 0.1, 1e-6)
        return low - room, high + room
    return low, high


def nice_ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Round numbers (1, 2, 2.5 or 5 times a power of ten) inside ``low`` to ``high``, about ``wanted`` of them."""
    span = high - low
    if not span > 0:
        return [low]
    power = 10.0 ** math.floor(math.log10(span / wanted))
    step = next(size * power for size in (1, 2, 2.5, 5, 10) if size * power * wanted >= span * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{index * step:.12g}") for index in range(first, last + 1)]


def logarithmic_ticks(low: float, high: float, wanted: int = 6) -> list[float]:
    """Powers of ten, with 2 and 5 between them where the range is short; never more than about ``wanted``."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    if last - first <= 1:
        return [tick for tick in nice_ticks(low, high, wanted) if tick > 0]
    sizes = (1, 2, 5) if last - first <= wanted // 2 else (1,)
    every = max(1, math.ceil((last - first) / wanted))
    ticks = [size * 10.0**power for power in range(first, last + 1, every) for size in sizes]
    return [tick for tick in ticks if low * 0.999 <= tick <= high * 1.001]


def downsample(points: Sequence[tuple[float, float]], most: int = MOST_POINTS) -> list[tuple[float, float]]:
    """At most ``most`` points: of each slice the lowest and the highest, in their order; the ends always stay."""
    if len(points) <= most:
        return list(points)
    slices = max(1, (most - 2) // 2)
    kept = [points[0]]
    inner = len(points) - 2
    for index in range(slices):
        begin, stop = 1 + index * inner // slices, 1 + (index + 1) * inner // slices
        if begin == stop:
            continue
        places = range(begin, stop)
        lowest = min(places, key=lambda place: points[place][1])
        highest = max(places, key=lambda place: points[place][1])
        kept.extend(points[place] for place in sorted({lowest, highest}))
    kept.append(points[-1])
    return kept


def smooth(values: Sequence[float], window: int = 0) -> list[float]:
    """Centred moving average, which does not lag. NaN stays NaN.

    At the beginning, where losses fall steeply, the window shrinks on both sides, so that the average is not pulled
    down; at the end, where they are flat, only the side that is missing is cut. ``window`` is the half width in
    points; 0 chooses one 60th of the series.
    """
    half = window or max(1, len(values) // 60)
    sums, counts = [0.0], [0]
    for value in values:
        good = drawable(value)
        sums.append(sums[-1] + (value if good else 0.0))
        counts.append(counts[-1] + good)
    averages = []
    for index, value in enumerate(values):
        reach = min(half, index)
        begin, stop = index - reach, min(index + reach + 1, len(values))
        known = counts[stop] - counts[begin]
        averages.append((sums[stop] - sums[begin]) / known if known and drawable(value) else math.nan)
    return averages


def robust_high(values: Sequence[float]) -> float:
    """The 99.5th percentile: what a raw, spiky line asks of the range."""
    return sorted(values)[min(len(values) - 1, int(len(values) * 0.995))]


def spread_labels(places: Sequence[float], low: float, high: float, gap: float = LABEL_HEIGHT) -> list[float]:
    """Move labels apart along one axis so that none is nearer than ``gap`` to the next, inside ``low`` to ``high``.

    When they cannot all fit they are spread evenly.
    """
    if not places:
        return []
    gap = min(gap, (high - low) / max(1, len(places) - 1)) if len(places) > 1 else gap
    order = sorted(range(len(places)), key=lambda index: places[index])
    moved = [min(max(place, low), high) for place in places]
    floor = low
    for index in order:
        moved[index] = max(moved[index], floor)
        floor = moved[index] + gap
    ceiling = high
    for index in reversed(order):
        moved[index] = min(moved[index], ceiling)
        ceiling = moved[index] - gap
    return [max(place, low) for place in moved]


def path(points: Sequence[tuple[float, float]]) -> str:
    """The ``d`` of an SVG path through points, in tenths of a unit."""
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points) if points else ""


def write_text(x: float, y: float, words: str, anchor: str = "start", style: str = "tick") -> str:
    """One piece of text in a chart."""
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{html.escape(words)}</text>'


def line_chart(
    lines: Sequence[Line],
    x_axis: Axis,
    y_axis: Axis,
    *,
    title: str,
    description: str,
    identity: str,
    width: float = 860,
    height: float = 380,
    levels: Sequence[Level] = (),
) -> str:
    """A line chart with nice ticks, grid, level lines and accessible title and description.

    ``identity`` must be unique on the page. Returns an empty string when no line has a point to draw.
    """
    drawn = [(line, points) for line in lines if (points := pairs(line, x_axis.logarithmic, y_axis.logarithmic))]
    if not drawn:
        return ""
    levels = [level for level in levels if drawable(level.y, y_axis.logarithmic)]
    x_low, x_high = value_range((x for _, points in drawn for x, _ in points), x_axis.logarithmic)
    heights = [level.y for level in levels]
    for line, points in drawn:
        line_heights = [y for _, y in points]
        heights += line_heights if line.sets_range else [min(line_heights), robust_high(line_heights)]
    if y_axis.from_zero:
        heights.append(0.0)
    y_low, y_high = value_range(heights, y_axis.logarithmic)
    if not y_axis.logarithmic:
        room = (y_high - y_low) * 0.04
        y_low, y_high = (max(0.0, y_low - room) if y_low >= 0 else y_low - room), y_high + room
    narrow = width < 500
    y_ticks = (logarithmic_ticks if y_axis.logarithmic else nice_ticks)(y_low, y_high, 5 if height < 260 else 6)
    x_ticks = (logarithmic_ticks if x_axis.logarithmic else nice_ticks)(x_low, x_high, 4 if narrow else 7)
    level_names = [level.name if narrow else f"{level.name} {y_axis.write(level.y)}" for level in levels]
    left = 16 + CHARACTER_WIDTH * max((len(y_axis.write(tick)) for tick in y_ticks), default=3)
    right = 14 + CHARACTER_WIDTH * max((len(name) for name in level_names), default=1)
    top, bottom = 26.0, height - 40.0
    across = Scale(x_low, x_high, left, max(width - right, left + 40), x_axis.logarithmic)
    down = Scale(y_low, y_high, bottom, top, y_axis.logarithmic)
    parts = [
        f'<svg class="chart" viewBox="0 0 {width:g} {height:g}" role="img"',
        f' aria-labelledby="{identity}-title {identity}-text">',
        f'<title id="{identity}-title">{html.escape(title)}</title>',
        f'<desc id="{identity}-text">{html.escape(description)}</desc>',
        *grid(across, down, x_axis, y_axis, x_ticks, y_ticks, width, height),
        *level_lines(levels, level_names, across, down, top, bottom),
    ]
    read_out: list[dict[str, object]] = []
    for line, points in drawn:
        short = downsample(points)
        places = [(across(x), down(y)) for x, y in short]
        if len(places) > 1:
            parts.append(f'<path class="line line-{line.style}" d="{path(places)}"/>')
        if line.dots or len(places) == 1:
            parts.extend(f'<circle class="dot dot-{line.style}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in places)
        read_out.append(
            {
                "name": line.name,
                "style": line.style,
                "x": [round(x, 1) for x, _ in places],
                "y": [round(y, 1) for _, y in places],
                "at": [x_axis.write(x) for x, _ in short],
                "value": [y_axis.write(y) for _, y in short],
            }
        )
    data = json.dumps({"top": top, "bottom": bottom, "unit": x_axis.label, "lines": read_out}, separators=(",", ":"))
    parts.append(
        f'<rect class="reader" x="{across.start:.1f}" y="{top}" width="{across.end - across.start:.1f}" '
        f'height="{bottom - top:.1f}" data-points="{html.escape(data)}"/></svg>'
    )
    return "".join(parts)


def grid(
    across: Scale,
    down: Scale,
    x_axis: Axis,
    y_axis: Axis,
    x_ticks: Sequence[float],
    y_ticks: Sequence[float],
    width: float,
    height: float,
) -> list[str]:
    """Grid lines, tick labels and axis labels."""
    parts = []
    for tick in y_ticks:
        y = down(tick)
        parts.append(f'<path class="grid" d="M{across.start:.1f} {y:.1f}H{across.end:.1f}"/>')
        parts.append(write_text(across.start - 8, y + 4, y_axis.write(tick), "end"))
    free_from = 0.0
    for tick in x_ticks:
        x, words = across(tick), x_axis.write(tick)
        half = len(words) * CHARACTER_WIDTH / 2
        parts.append(f'<path class="grid faint" d="M{x:.1f} {down.start:.1f}V{down.end:.1f}"/>')
        centre = min(x, width - half)
        if centre - half >= free_from:
            parts.append(write_text(centre, down.start + 18, words, "middle"))
            free_from = centre + half + 6
    parts.append(f'<path class="axis" d="M{across.start:.1f} {down.start:.1f}H{across.end:.1f}"/>')
    parts.append(write_text(2, 14, y_axis.label, "start", "label"))
    parts.append(write_text(across.end, height - 5, x_axis.label, "end", "label"))
    return parts


def level_lines(
    levels: Sequence[Level], names: Sequence[str], across: Scale, down: Scale, top: float, bottom: float
) -> list[str]:
    """Dashed lines to compare with; their names at the right, moved apart where they would overlap."""
    parts = []
    label_places = spread_labels([down(level.y) for level in levels], top, bottom)
    for level, name, label_y in zip(levels, names, label_places, strict=True):
        y = down(level.y)
        parts.append(f'<path class="level level-{level.style}" d="M{across.start:.1f} {y:.1f}H{across.end:.1f}"/>')
        parts.append(write_text(across.end + 7, label_y + 4, name, "start", f"level-name name-{level.style}"))
    return parts
