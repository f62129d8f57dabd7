"""The figures of a benchmark run as one SVG file: a small plot for each stage, both axes logarithmic."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup

from bench.scale.stages import Sizes, StageUse, stages_in
from everloop.reporting.svg import tag, text

_ACROSS = 5
_WIDTH, _HEIGHT, _GAP, _LEFT, _TOP = 176.0, 118.0, 40.0, 44.0, 64.0
_MEMORY = 54.0
_CURVES = (("cpu_s", "#1f5fae", ""), ("wall_s", "#1f5fae", "4 3"), ("peak_mb", "#a8431f", ""))
_STYLE = "font-family:system-ui,sans-serif;font-size:11px;fill:#333"


def plot(of: Sizes, machine: str) -> str:
    """The SVG text; every panel has the same scales, so that stages compare."""
    sizes = sorted(of)
    seconds = _range(
        [u.cpu_s for s in of.values() for u in s] + [u.wall_s for s in of.values() for u in s]
    )
    memory = _range([u.peak_mb for s in of.values() for u in s])
    across = (math.log10(sizes[0]), max(math.log10(sizes[-1]), math.log10(sizes[0]) + 1))
    stages = stages_in(of)
    rows = math.ceil(len(stages) / _ACROSS)
    down = _HEIGHT + _MEMORY + _GAP + 18
    width = _LEFT + _ACROSS * (_WIDTH + _GAP)
    height = _TOP + rows * down + 10
    parts = [
        text(
            "Cost of every stage of the daily graph by episodes in the log (both axes logarithmic)",
            x=_LEFT,
            y=18,
            style="font-size:14px;font-weight:600",
        ),
        text(machine, x=_LEFT, y=34),
        text("CPU seconds", x=_LEFT, y=50, style=f"fill:{_CURVES[0][1]}"),
        text("- - wall seconds", x=_LEFT + 84, y=50, style=f"fill:{_CURVES[1][1]}"),
        text("peak MiB (lower strip)", x=_LEFT + 190, y=50, style=f"fill:{_CURVES[2][1]}"),
        text("grey: as the log grows", x=_LEFT + 330, y=50, style="fill:#999"),
    ]
    for place, stage in enumerate(stages):
        x = _LEFT + place % _ACROSS * (_WIDTH + _GAP)
        y = _TOP + place // _ACROSS * down
        uses = {size: use for size in sizes for use in of[size] if use.stage == stage}
        parts += [
            text(stage, x=x, y=y + 12, style="font-weight:600"),
            *_panel(x, y + 18, _HEIGHT, uses, _CURVES[:2], across, seconds),
            *_panel(x, y + 24 + _HEIGHT, _MEMORY, uses, _CURVES[2:], across, memory),
        ]
        for size in sizes:
            at = x + _WIDTH * _share(math.log10(size), across)
            parts.append(
                text(_short(size), x=at, y=y + _HEIGHT + _MEMORY + 38, text_anchor="middle")
            )
    background = tag("rect", width="100%", height="100%", fill="#fff")
    return str(
        tag(
            "svg",
            background,
            *parts,
            xmlns="http://www.w3.org/2000/svg",
            viewBox=f"0 0 {width:g} {height:g}",
            style=_STYLE,
        )
    )


def _panel(
    left: float,
    top: float,
    height: float,
    uses: dict[int, StageUse],
    curves: Sequence[tuple[str, str, str]],
    across: tuple[float, float],
    up: tuple[float, float],
) -> list[Markup]:
    parts = [tag("rect", x=left, y=top, width=_WIDTH, height=height, fill="none", stroke="#ccc")]
    for power in range(math.ceil(up[0]), math.floor(up[1]) + 1):
        y = top + height * (1 - _share(power, up))
        parts.append(tag("line", x1=left, x2=left + _WIDTH, y1=y, y2=y, stroke="#eee"))
        parts.append(text(f"{10**power:g}", x=left - 4, y=y + 4, text_anchor="end"))
    for number, (name, colour, dash) in enumerate(curves):
        points = [
            (
                left + _WIDTH * _share(math.log10(size), across),
                top + height * (1 - _share(math.log10(max(float(getattr(use, name)), 1e-3)), up)),
            )
            for size, use in sorted(uses.items())
        ]
        if not number and points:
            parts.append(_reference(points[-1], (left, top), height, across, up))
        path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points) if points else "M0 0"
        parts.append(
            tag("path", d=path, fill="none", stroke=colour, stroke_dasharray=dash or "none")
        )
        parts += [tag("circle", cx=x, cy=y, r=2.2, fill=colour) for x, y in points]
    return parts


def _reference(
    last: tuple[float, float],
    corner: tuple[float, float],
    height: float,
    across: tuple[float, float],
    up: tuple[float, float],
) -> Markup:
    """What growing as the log does would look like, up to the largest size, within the panel."""
    slope = height / (up[1] - up[0]) * (across[1] - across[0]) / _WIDTH
    run = min(last[0] - corner[0], (corner[1] + height - last[1]) / slope)
    return tag(
        "line",
        x1=last[0] - run,
        x2=last[0],
        y1=last[1] + run * slope,
        y2=last[1],
        stroke="#bbb",
        stroke_dasharray="1 3",
    )


def _range(values: Sequence[float]) -> tuple[float, float]:
    kept = [math.log10(max(value, 1e-3)) for value in values]
    return min(kept) - 0.15, max(kept) + 0.15


def _share(value: float, axis: tuple[float, float]) -> float:
    return (value - axis[0]) / (axis[1] - axis[0])


def _short(size: int) -> str:
    for unit, name in ((10**6, "M"), (10**3, "k")):
        if size >= unit:
            return f"{size / unit:g}{name}"
    return str(size)
