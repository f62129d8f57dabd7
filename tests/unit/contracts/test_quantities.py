"""Quantities of Kubernetes, against hand-computed figures and against how they were made."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.contracts.quantities import cpu_cores, cpu_text, memory_bytes, memory_text, seconds_of

UNITS = {
    "": 1,
    "k": 10**3,
    "M": 10**6,
    "G": 10**9,
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
}
LASTING = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


@pytest.mark.parametrize(
    ("text", "cores"),
    [
        ("500m", "1/2"),
        ("2", "2"),
        ("0.5", "1/2"),
        ("1.250", "5/4"),
        ("1m", "1/1000"),
        (".5", "1/2"),
    ],
)
def test_cores(text: str, cores: str) -> None:
    assert cpu_cores(text) == Fraction(cores)


@pytest.mark.parametrize(
    "text", ["", "0", "0m", "-1", "1.5m", "2 cores", "1e3", ".", "2\n", "1.2345", "٢"]
)
def test_no_cores(text: str) -> None:
    with pytest.raises(ValueError, match="500m"):
        cpu_cores(text)


@given(number=st.integers(1, 60_000), unit=st.sampled_from(sorted(UNITS)))
def test_memory_is_number_times_unit(number: int, unit: str) -> None:
    assert memory_bytes(f"{number}{unit}") == number * UNITS[unit]


@given(st.integers(1, 4_096_000))
def test_thousandths_are_cores(thousandths: int) -> None:
    assert cpu_cores(f"{thousandths}m") * 1000 == thousandths


@pytest.mark.parametrize(
    ("text", "meant"),
    [("2GB", "2Gi"), ("2gb", "2Gi"), ("512 mib", "512Mi"), ("3g", "3Gi"), ("1K", "1Ki")],
)
def test_a_unit_that_kubernetes_does_not_know_is_answered_with_the_nearest(
    text: str, meant: str
) -> None:
    with pytest.raises(ValueError, match=f"did you mean {meant}"):
        memory_bytes(text)


@pytest.mark.parametrize("text", ["", "Gi", "0Gi", "-2Gi", ".Gi", "lots", "٢Gi"])
def test_no_memory(text: str) -> None:
    with pytest.raises(ValueError, match="write 512Mi or 2Gi"):
        memory_bytes(text)


@pytest.mark.parametrize(
    ("text", "size"), [("1.5Gi", 1610612736), ("1e9", 10**9), ("5120000k", 5_120_000_000)]
)
def test_what_kubernetes_also_takes_is_told_in_bytes(text: str, size: int) -> None:
    assert memory_bytes(text) == size
    assert memory_text(text) == str(size)


@pytest.mark.parametrize("text", ["999999999999999999Ei", "65Ti", "1e99"])
def test_no_machine_has_that_much_memory(text: str) -> None:
    with pytest.raises(ValueError, match="64Ti"):
        memory_bytes(text)


def test_no_machine_has_that_many_cores() -> None:
    with pytest.raises(ValueError, match="4096"):
        cpu_cores("9" * 26)


def test_numbers_may_stand_without_quotes_but_a_forgotten_unit_is_noticed() -> None:
    assert (cpu_text(2), cpu_text(0.5), memory_text(2**30)) == ("2", "0.5", "1073741824")
    with pytest.raises(ValueError, match="4Gi"):
        memory_text(4)
    for wrong in (True, None, [2]):
        with pytest.raises(ValueError, match="cores"):
            cpu_text(wrong)


@given(
    number=st.integers(0, 10**6),
    unit=st.sampled_from([("", 1), ("s", 1), ("m", 60), ("h", 3600), ("d", 86400)]),
)
def test_durations(number: int, unit: tuple[str, int]) -> None:
    assert seconds_of(f"{number}{unit[0]}") == number * unit[1]


@pytest.mark.parametrize("text", ["", "3w", "1.5h", "-1s", "1h30m", "٩s", True, None])
def test_no_duration(text: object) -> None:
    with pytest.raises(ValueError, match="15m"):
        seconds_of(text)
