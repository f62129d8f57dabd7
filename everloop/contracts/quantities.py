"""Kubernetes quantities and durations: checked as they are written, compared exactly."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

_CPU = re.compile(r"(?P<number>(?:\d+(?:\.\d{1,3})?)|\.\d{1,3})|(?P<milli>\d+)m", re.ASCII)
_MEMORY = re.compile(
    r"(?P<number>\d+(?:\.\d+)?|\.\d+)(?:(?P<unit>[KMGTPE]i|[kMGTPE])|[eE](?P<exponent>\d{1,2}))?",
    re.ASCII,
)
_NEARLY = re.compile(r"(?P<number>\d+)\s*(?P<unit>[kmgtpe])i?b?(?:ytes)?", re.IGNORECASE | re.ASCII)
_DURATION = re.compile(r"(?P<number>\d{1,9})(?P<unit>[smhd]?)", re.ASCII)
_WHOLE = re.compile(r"\d+(?:[KMGTPE]i|[MGTPE])?", re.ASCII)
_MOST_CORES = 4096
_MOST_BYTES = 64 * 1024**4
_POWERS = {unit: index for index, unit in enumerate("KMGTPE", start=1)} | {"k": 1}
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def cpu_cores(text: str) -> Fraction:
    """Cores: ``500m`` -> 1/2. ``ValueError`` names the fix."""
    found = _CPU.fullmatch(text)
    cores = Fraction(0)
    if found is not None:
        cores = (
            Fraction(found["number"]) if found["number"] else Fraction(int(found["milli"]), 1000)
        )
    if not cores:
        raise ValueError("this is no number of cores (write 2, 0.5 or 500m)")
    if cores > _MOST_CORES:
        raise ValueError(f"no machine has so many cores (write {_MOST_CORES} at most)")
    return cores


def memory_bytes(text: str) -> int:
    """Bytes: ``2Gi`` -> 2147483648, ``1.5Gi`` -> 1610612736. ``ValueError`` names the fix."""
    found = _MEMORY.fullmatch(text)
    size = 0
    if found is not None:
        unit = found["unit"] or ""
        power = _POWERS[unit[0]] if unit else 0
        scale = (1024 if unit.endswith("i") else 1000) ** power * 10 ** int(found["exponent"] or 0)
        size = int(Fraction(found["number"]) * scale)
    if not size:
        raise ValueError(f"this is no amount of memory ({_meant(text)})")
    if size > _MOST_BYTES:
        raise ValueError("no machine has so much memory (write 64Ti at most)")
    return size


def _meant(text: str) -> str:
    near = _NEARLY.fullmatch(text)
    if near is None or not int(near["number"]):
        return "write 512Mi or 2Gi"
    return f"did you mean {near['number']}{near['unit'].upper()}i?"


def cpu_text(value: Any) -> str:
    """Cores as the cluster reads them; numbers may stand without quotes."""
    text = _text(value)
    cpu_cores(text)
    return text


def memory_text(value: Any) -> str:
    """Memory as the cluster reads it; a bare number is bytes, and so is a fraction or a power of ten."""
    text = _text(value)
    size = memory_bytes(text)
    if size < 1024**2:
        raise ValueError(f"{size} bytes are less than 1Mi (did you leave the unit out: {text}Gi?)")
    return text if _WHOLE.fullmatch(text) else str(size)


def seconds_of(value: Any) -> int:
    """Seconds: ``15m`` -> 900. ``ValueError`` names the fix."""
    found = _DURATION.fullmatch(_text(value))
    if found is None:
        raise ValueError("this is no duration (write one number and unit: 90s, 15m, 2h or 1d)")
    return int(found["number"]) * _SECONDS[found["unit"]]


def _text(value: Any) -> str:
    return "" if isinstance(value, bool) or not isinstance(value, str | int | float) else str(value)
