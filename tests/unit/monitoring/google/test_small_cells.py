"""What of histograms leaves the workspace: no small cell, and nothing of few episodes."""

from __future__ import annotations

import csv
from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from everloop.contracts import documents
from everloop.contracts.monitoring import FieldCounts, FieldKind, InputHistograms
from everloop.monitoring.drift import FEWEST, largest_difference
from everloop.monitoring.google.small_cells import SMALLEST, told
from everloop.monitoring.google.vertex_drift import VertexDriftMonitor
from tests.fake_vertex import fake_vertex

DAY = date(2026, 3, 28)


def histograms(*cells: tuple[int, ...], kind: FieldKind = FieldKind.CATEGORY) -> InputHistograms:
    fields = tuple(
        FieldCounts(f"f{n}", kind, tuple(str(i) for i in range(len(counts))), counts)
        for n, counts in enumerate(cells)
    )
    most = max(sum(counts) for counts in cells)
    return InputHistograms("walk", "default", "m-1", DAY, DAY, most, fields)


def counts_of(found: InputHistograms | None) -> list[tuple[int, ...]]:
    return [each.counts for each in found.fields] if found else []


def test_small_cells_are_rounded_and_the_largest_makes_up_for_them() -> None:
    """By hand: 1 and 2 become 0, 3 and 4 become 5: 300 gives 2 + 1 and takes 1 + 2."""
    assert counts_of(told(histograms((1, 2, 300, 3, 4, 5, 0)))) == [(0, 0, 300, 5, 5, 5, 0)]
    assert counts_of(told(histograms((1, 250, 2)))) == [(0, 253, 0)]
    assert counts_of(told(histograms((4, 250)))) == [(5, 249)]


def test_another_field_s_sum_gives_no_small_cell_away() -> None:
    found = told(histograms((1, 249), (100, 150)))
    assert [sum(counts) for counts in counts_of(found)] == [250, 250]


def test_nothing_is_told_of_few_episodes() -> None:
    assert told(histograms((100, FEWEST - 101))) is None
    assert told(histograms((100, FEWEST - 100))) is not None
    assert counts_of(told(histograms((150, 100), (10, 20)))) == [(150, 100)]
    assert told(histograms((2,) * 100)) is None


@given(st.lists(st.integers(0, 60), min_size=1, max_size=12))
def test_no_cell_that_is_told_is_small(cells: list[int]) -> None:
    given_to = histograms((*cells, FEWEST))
    (counts,) = counts_of(told(given_to))
    small = sum(0 < count < SMALLEST for count in cells)
    assert all(count == 0 or count >= SMALLEST for count in counts)
    assert sum(counts) == sum(cells) + FEWEST
    moved = largest_difference(counts, given_to.fields[0].counts)
    assert moved <= 2 * max(small, 1) / sum(counts) + 1e-12


def test_neither_tables_nor_histograms_in_the_bucket_show_a_small_cell() -> None:
    with fake_vertex() as (fake, _, clients):
        monitor = VertexDriftMonitor(clients, fake.objects, "project-1", "europe-west4")
        monitor.set_baseline(histograms((900, 96, 4, 1)))
        monitor.observe(histograms((230, 16, 1, 3)))
        monitor.observe(histograms((FEWEST - 1, 0, 0, 0)))
        stored = fake.objects.stored
    assert len(stored) == 4
    for name, data in stored.items():
        if name.endswith(".json"):
            assert all(
                count == 0 or count >= SMALLEST
                for counts in counts_of(documents.from_json(InputHistograms, data))
                for count in counts
            )
        else:
            column = [row[0] for row in csv.reader(data.decode().splitlines())][1:]
            assert all(column.count(value) >= SMALLEST for value in set(column))


def test_a_baseline_of_few_episodes_leaves_nothing() -> None:
    with fake_vertex() as (fake, _, clients):
        monitor = VertexDriftMonitor(clients, fake.objects, "project-1", "europe-west4")
        monitor.set_baseline(histograms((FEWEST - 10, 9)))
        assert fake.objects.stored == {}
        assert fake.resources == {}
