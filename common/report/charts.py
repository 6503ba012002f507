"""Charts as inline SVG: they take the page's colours, light or dark, and tell their numbers on pointing and in a table.

A chart is one `<figure>`; see `templates/chart.html`. Series differ in colour and in dash, for not everyone tells
colours apart.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from common.report.page import cell, render

Range = tuple[float, float]


@dataclass(frozen=True)
class Series:
    """Points (n,), joined in order by a line where `line`; with `low` and `high` each has an interval. `texts`: what
    each point tells, if not its numbers."""

    name: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float] = ()
    high: Sequence[float] = ()
    line: bool = True
    dots: bool = True
    texts: Sequence[str] = ()


@dataclass(frozen=True)
class Frame:
    """Where the axes lie in the picture, in pixels, and what they span."""

    x: Range
    y: Range
    log: bool
    width: int
    height: int
    left: int = 66
    right: int = 14
    top: int = 10
    bottom: int = 48

    def across(self, value: float) -> float:
        low, high, at = (math.log10(v) if self.log else v for v in (*self.x, value))
        return round(self.left + (at - low) / (high - low) * (self.width - self.left - self.right), 1)

    def down(self, value: float) -> float:
        low, high = self.y
        return round(
            self.height - self.bottom - (value - low) / (high - low) * (self.height - self.top - self.bottom), 1
        )


def chart(
    title: str,
    x_label: str,
    y_label: str,
    series: Sequence[Series],
    *,
    x: Range | None = None,
    y: Range | None = None,
    marks: Sequence[tuple[float, str]] = (),
    diagonal: bool = False,
    log: bool = False,
    size: tuple[int, int] = (460, 280),
    numbers: bool = True,
) -> Markup:
    """A figure with its legend and, where `numbers`, a table of what is drawn.

    Args:
        x, y: what the axes span; None: what there is, and a little more.
        marks: vertical lines, (where, name); those beyond the axis are not drawn.
        diagonal: a dashed line where both axes are equal.
        log: whether the x axis is logarithmic.
    """
    seen = [one for one in series if len(one.x)]
    whole = x is None and all(float(v).is_integer() for one in seen for v in one.x)
    x = x or around([v for one in seen for v in one.x] + [at for at, _ in marks], log)
    y = y or around([v for one in seen for part in (one.y, one.low, one.high) for v in part])
    frame = Frame(x, y, log, *size)
    ends = (max(x[0], y[0]), min(x[1], y[1]))
    return render(
        "chart.html",
        title=title,
        x_label=x_label,
        y_label=y_label,
        frame=frame,
        x_ticks=[(frame.across(at), text) for at, text in (powers(x) if log else ticks(x, whole=whole))],
        y_ticks=[(frame.down(at), text) for at, text in ticks(y)],
        series=[drawn(one, number, frame, x_label) for number, one in enumerate(seen)],
        marks=[(frame.across(at), name) for at, name in marks if x[0] <= at <= x[1]],
        diagonal=[(frame.across(at), frame.down(at)) for at in ends] if diagonal and ends[0] < ends[1] else None,
        numbers=[(one, list(zip(one.x, one.y, strict=True))) for one in seen] if numbers else [],
    )


def drawn(one: Series, number: int, frame: Frame, x_label: str) -> dict:
    """The series in pixels."""
    points = [(frame.across(x), frame.down(y)) for x, y in zip(one.x, one.y, strict=True)]
    texts = one.texts or [f"{one.name}, {x_label} {cell(x)}: {cell(y)}" for x, y in zip(one.x, one.y, strict=True)]
    return {
        "name": one.name,
        "colour": number % 8,
        "path": " ".join(f"{across},{down}" for across, down in points) if one.line else "",
        "points": list(zip(points, texts, strict=True)) if one.dots or len(points) == 1 else [],
        "bars": [
            (across, frame.down(low), frame.down(high))
            for (across, _), low, high in zip(points, one.low, one.high, strict=False)
            if low == low
        ],
    }


def around(values: Sequence[float], log: bool = False) -> Range:
    """From the lowest to the highest finite value, and a twentieth of that on both sides."""
    known = [v for v in values if v is not None and math.isfinite(v)] or [0.0, 1.0]
    low, high = min(known), max(known)
    if log:
        return (low / 1.2, high * 1.2)
    room = (high - low) / 20 or max(abs(high) / 20, 0.5)
    return (low - room, high + room)


def ticks(span: Range, count: int = 5, whole: bool = False) -> list[tuple[float, str]]:
    """About `count` round numbers, or fewer whole ones, in the span, with their text."""
    rough = (span[1] - span[0]) / count
    unit = 10 ** math.floor(math.log10(rough))
    step = next(factor * unit for factor in (1, 2, 5, 10) if factor * unit >= rough)
    step = max(step, 1) if whole else step
    digits = max(0, -math.floor(math.log10(step)))
    first, last = math.ceil(span[0] / step - 1e-9), math.floor(span[1] / step + 1e-9)
    return [(n * step, f"{n * step:.{digits}f}") for n in range(first, last + 1)]


def powers(span: Range) -> list[tuple[float, str]]:
    """The powers of ten in a span of positive numbers, or its ends where there are fewer than two."""
    first, last = math.ceil(math.log10(span[0])), math.floor(math.log10(span[1]))
    found = [10.0**n for n in range(first, last + 1)]
    return [(at, f"{at:g}") for at in (found if len(found) > 1 else (span[0] * 1.2, span[1] / 1.2))]


def intervals(title: str, label: str, rows: Sequence[tuple[str, float, float, float]]) -> Markup:
    """One row a (name, value, low, high), about a line at 0: what each brings, and how sure that is."""
    span = around([0.0, *(v for _, *values in rows for v in values)])
    frame = Frame(span, (0, 1), False, 460, 30 * len(rows) + 50, left=130)
    return render(
        "intervals.html",
        title=title,
        label=label,
        frame=frame,
        zero=frame.across(0),
        ticks=[(frame.across(at), text) for at, text in ticks(span, 4)],
        rows=[
            (
                name,
                25 + 30 * number,
                *map(frame.across, (value, low, high)),
                f"{value:+.4f} ({low:+.4f} to {high:+.4f})",
            )
            for number, (name, value, low, high) in enumerate(rows)
        ],
    )
