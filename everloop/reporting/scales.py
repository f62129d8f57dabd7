"""From data to positions: axis ranges, ticks and their labels. No drawing here."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from everloop.reporting.wording import fixed

CHARACTER_PX = 6.6
"""Width of an average character of the plots' 12 px text, in CSS pixels."""
NARROW_PX = 232
"""Width of a plot's area on a phone 360 px wide, without the gutter for labels."""
_LARGEST = 1e15


@dataclass(frozen=True, slots=True)
class Axis:
    """A finite range of values on a line; ``low < high`` always."""

    low: float
    high: float

    @classmethod
    def over(cls, values: Iterable[float], *, include: tuple[float, ...] = ()) -> Self:
        """The range of the finite values within +-1e15, widened when it has no extent.

        ``include`` are values that must be on the axis; with nothing but 0 to show it is 0..1.
        """
        kept = [v for v in (*values, *include) if math.isfinite(v) and abs(v) <= _LARGEST]
        if not kept:
            return cls(0.0, 1.0)
        low, high = min(kept), max(kept)
        if low == high == 0.0:
            return cls(0.0, 1.0)
        least = max(1e-9 * max(abs(low), abs(high)), 1e-12)
        if high - low < least:
            pad = max(abs(high) * 0.1, least)
            return cls(low - pad, high + pad)
        return cls(low, high)

    def rounded(self, ticks: int = 4) -> Axis:
        """The range widened outwards to whole tick steps."""
        step = self._step(ticks)
        return Axis(math.floor(self.low / step) * step, math.ceil(self.high / step) * step)

    def padded(self, share: float = 0.04) -> Axis:
        """The range widened by a share of its extent at both ends."""
        pad = share * (self.high - self.low)
        return Axis(self.low - pad, self.high + pad)

    def at(self, value: float) -> float | None:
        """Position of a value, 0 at ``low`` and 1 at ``high``, held within 0..1; None for NaN."""
        if math.isnan(value):
            return None
        return min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))

    def ticks(self, wanted: int = 4) -> tuple[float, ...]:
        """At most ``wanted + 2`` round values within the range."""
        step = self._step(wanted)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return tuple(i * step for i in range(first, last + 1))

    def labels(self, wanted: int = 4) -> tuple[tuple[float, str], ...]:
        """Ticks with their texts, all with the decimals that the step needs."""
        step = self._step(wanted)
        return tuple((tick, compact(tick, step)) for tick in self.ticks(wanted))

    def fitting_labels(self, width_px: float) -> tuple[tuple[float, str], ...]:
        """As many labelled ticks, up to six, as stand beside one another in ``width_px``."""
        labels = self.labels(1)
        for wanted in (2, 3, 4):
            more = self.labels(wanted)
            widest = max(len(text) for _, text in more) if more else 0
            if len(more) * (CHARACTER_PX * widest + 10) <= width_px:
                labels = more
        return labels

    def _step(self, wanted: int) -> float:
        rough = (self.high - self.low) / max(1, wanted)
        power = 10.0 ** math.floor(math.log10(rough))
        return next(
            (m * power for m in (1.0, 2.0, 5.0) if m * power >= rough * 0.999), 10.0 * power
        )


def compact(value: float, step: float) -> str:
    """A tick's text: ``0.05``, ``1,500``, ``60k``, ``1.2M``, with as many decimals as ``step``."""
    for factor, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= factor or (value == 0 and step >= factor):
            scale = 1e3 if unit == "k" else factor
            return f"{fixed(value / scale, _decimals(step / scale))}{unit if value else ''}"
    return fixed(value, _decimals(step))


def _decimals(step: float) -> int:
    return min(9, max(0, -math.floor(math.log10(step) + 1e-9)))


def every(count: int, label_px: float, width_px: float = NARROW_PX) -> int:
    """Label each how-manieth of ``count`` evenly spaced places so that labels don't touch."""
    if count <= 1:
        return 1
    room = max(1, int(width_px // (label_px + 10)))
    return math.ceil(count / room)
