"""Numbers and dates in words: sensible digits, one form everywhere."""

from __future__ import annotations

import math
from datetime import date

from everloop.contracts.evaluation import Estimate

NOT_MEASURED = "not measured"
_MINUS = "\N{MINUS SIGN}"
_SPACE = "\N{NO-BREAK SPACE}"
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def fixed(value: float, decimals: int) -> str:
    """A number with a set number of decimals, thousands separated, and a true minus sign."""
    if math.isnan(value):
        return NOT_MEASURED
    if math.isinf(value):
        return "∞" if value > 0 else f"{_MINUS}∞"
    text = f"{value:,.{decimals}f}"
    if text.startswith("-"):
        text = text[1:] if not any(c in "123456789" for c in text) else f"{_MINUS}{text[1:]}"
    return text


def number(value: float | None, digits: int = 3) -> str:
    """A number to ``digits`` significant digits: ``0.3`` where that is exact, else ``0.300``."""
    if value is None or math.isnan(value):
        return NOT_MEASURED
    if math.isinf(value) or value == 0 or (value == int(value) and abs(value) < 1e15):
        return fixed(value, 0)
    exponent = math.floor(math.log10(abs(value)))
    if exponent < -4 or exponent >= 15:
        return _scientific(value, digits)
    decimals = max(0, digits - 1 - exponent)
    while decimals and math.isclose(value, round(value, decimals - 1), rel_tol=1e-9):
        decimals -= 1
    return fixed(value, decimals)


def _scientific(value: float, digits: int) -> str:
    """``7.7 x 10^-7`` with a true multiplication sign and superscripts."""
    mantissa, power = f"{value:.{digits - 1}e}".split("e")
    raised = f"10{str(int(power)).translate(_RAISED)}"
    factor = fixed(float(mantissa), len(mantissa.partition(".")[2].rstrip("0")))
    return raised if factor == "1" else f"{factor}{_SPACE}\N{MULTIPLICATION SIGN}{_SPACE}{raised}"


def decimals_for(value: float, low: float, high: float) -> int:
    """Decimals for a value and its interval.

    Two digits of the half width when they are below 50, else one; one more where the value itself
    would keep fewer than two. Without an interval, three digits of the value.
    """
    size = math.floor(math.log10(abs(value))) if math.isfinite(value) and value != 0 else None
    half = (high - low) / 2
    if not (math.isfinite(half) and half > 0):
        return 0 if size is None else min(9, max(0, 2 - size))
    exponent = math.floor(math.log10(half))
    decimals = (1 if half < 5 * 10.0**exponent else 0) - exponent
    if size is not None and 1 - size > decimals:
        decimals += 1
    return min(9, max(0, decimals))


def interval(
    estimate: Estimate,
    *,
    percent: bool = False,
    signed: bool = False,
    decimals: int | None = None,
) -> str:
    """``0.0038 [0.0026, 0.0053]``; the value alone where there is no interval."""
    factor = 100.0 if percent else 1.0
    value, low, high = (factor * v for v in (estimate.value, estimate.low, estimate.high))
    if math.isnan(value):
        return NOT_MEASURED
    if decimals is None:
        decimals = decimals_for(value, low, high)
    unit = f"{_SPACE}%" if percent else ""
    plus = "+" if signed and value > 0 else ""
    text = f"{plus}{fixed(value, decimals)}{unit}"
    if math.isnan(low) or math.isnan(high):
        return text
    return f"{text} [{fixed(low, decimals)}, {fixed(high, decimals)}]"


def evidence(estimate: Estimate) -> str:
    """``n = 5,012``, with the number of people where it differs."""
    people = "" if estimate.clusters in (0, estimate.n) else f" from {estimate.clusters:,} people"
    return f"n = {estimate.n:,}{people}"


def percent(share: float, digits: int = 3) -> str:
    """A share as a percentage, to ``digits`` significant digits."""
    return NOT_MEASURED if math.isnan(share) else f"{number(100 * share, digits)}{_SPACE}%"


def duration(seconds: float | None) -> str:
    """``0.4 s``, ``12 s``, ``3 min 05 s``."""
    if seconds is None or math.isnan(seconds):
        return "\N{EN DASH}"
    if seconds < 9.95:
        return f"{seconds:.1f}{_SPACE}s"
    if seconds < 59.5:
        return f"{seconds:.0f}{_SPACE}s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes:,}{_SPACE}min {rest:02d}{_SPACE}s"


def day(moment: date) -> str:
    """``21 November 2025``."""
    return f"{moment.day} {moment:%B %Y}"


def short_day(moment: date) -> str:
    """``21 Nov``."""
    return f"{moment.day} {moment:%b}"


def words(name: str) -> str:
    """A machine's name as words: ``click_through_rate`` -> ``click through rate``."""
    return name.replace("_", " ").strip()


def sentence(text: str) -> str:
    """The text with a full stop, unless it ends with one or with another mark."""
    return text if not text or text[-1] in ".!?" else f"{text}."


def plural(count: int, one: str, many: str = "") -> str:
    """``1 person``, ``2 people``."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


_RELEASE_FIGURES = {
    "weight_root_mean_square": "a weight's size, root mean square",
    "noise_deviation_per_weight": "a weight's noise, root mean square deviation",
    "learning_rate": "step size of the fit",
    "profiles": "synthetic people drawn",
    "noise_deviation": "deviation of the noise in each published sum, as a share of people",
}


def release_figure(name: str, value: float) -> tuple[str, str]:
    """(name, value) of a private release's own figure, in words."""
    if name == "noise_share_of_acceptance":
        return "how much of what sets made-up decisions' acceptance apart is noise", percent(value)
    if name == "joint_pairs":
        paid = "none: so few people pay for each trait by itself"
        return "pairs of traits measured together", number(value) if value else paid
    if name == "warm_started":
        return "started from", "the release before it" if value else "nothing learned before"
    if name == "precision_in_first_fits":
        return "precision, added up over nights", f"{number(value)} times that of a first fit"
    return _RELEASE_FIGURES.get(name, words(name)), number(value)
