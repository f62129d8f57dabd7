"""The benchmark of decisions: its inputs are what products send, its figures what was timed."""

from __future__ import annotations

import numpy as np
import pytest

from bench.decide import Subject, Timing, contexts, rounds_of, rows_of
from everloop.intake.conformity import context_nonconformities
from everloop.loops import load


def test_its_contexts_fit_the_loop_and_differ() -> None:
    spec = load("companion")
    made = contexts(spec, 20, np.random.default_rng(1))
    assert not [w for context in made for w in context_nonconformities(spec, context, "context")]
    assert len({str(context) for context in made}) == 20


def test_every_round_times_every_subject_once_more_than_it_warms_up() -> None:
    calls: list[tuple[str, int]] = []
    tried = [
        Subject("onnxruntime", 1, lambda i: calls.append(("bare", i))),
        Subject("engine", 256, lambda i: calls.append(("engine", i))),
    ]
    found = rounds_of(tried, rounds=2, calls=40)
    assert set(found) == {("onnxruntime", 1), ("engine", 256)}
    for rounds in found.values():
        assert len(rounds) == 2
        assert all(t.p50_ms <= t.p99_ms and t.cpu_us >= 0.0 for t in rounds)
    assert sum(name == "bare" for name, _ in calls) == 2 * (40 + 4)
    assert sum(name == "engine" for name, _ in calls) == 2 * (10 + 1)


def test_ratios_are_of_rounds_to_the_bare_runtime() -> None:
    rows = rows_of(
        {
            ("onnxruntime", 1): [
                Timing(0.01, 0.02, 9),
                Timing(0.02, 0.03, 9),
                Timing(0.01, 0.02, 9),
            ],
            ("engine", 1): [Timing(0.1, 0.3, 90), Timing(0.4, 0.5, 70), Timing(0.2, 0.2, 80)],
        }
    )
    assert [row["ratio_to_onnxruntime"] for row in rows] == [1.0, pytest.approx(20.0)]
    assert rows[1]["p50_ms"] == 0.2
    assert rows[1]["p99_ms"] == 0.3
    assert rows[1]["cpu_us_per_decision"] == 80
