"""Decisions through ONNX Runtime: the bare runtime, the policy, and the whole engine, side by side.

    python -m bench.decide [--quick] [--rounds 7] [--calls 2000]

A policy of the ``companion`` loop (128-number emotion vector, 8 actions, the loop's own width) is exported
as training does, registered and deployed in a workspace in a temporary folder. Each round times, one
after the other on the same inputs:

- ``onnxruntime``: ``InferenceSession.run`` on encoded states, one thread;
- ``policy``: ``OnnxPolicy.act``, which checks its inputs and outputs;
- ``engine``: ``DecisionEngine.decide_many`` from JSON contexts to decisions, which are not stored, with a
  candidate on trial for half of the people: checks, encoding, what the person recently met, the loop's
  constraints, assignment, one or two runtime calls, the draw.

Figures are wall time per call, for one state and for 256, and CPU time per decision, which tells the
same on a busy machine. ``--quick`` is two short rounds.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from bench.record import Goal, Spread, record, spread
from everloop import settings
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.models import ModelType, Provenance, States
from everloop.contracts.rollouts import RolloutRecord
from everloop.loops import load
from everloop.registry.promotion import promote
from everloop.registry.registration import REQUIRED_LINEAGE, Candidate, register
from everloop.serving.decisions.engine import DecisionEngine
from everloop.serving.decisions.question import Question
from everloop.storage.local.clock import SystemClock
from everloop.wiring import Workspace, open_workspace
from rl.encoders import encode_context, layout
from rl.export import export_policy
from rl.module import PolicyNetwork
from rl.runtime import OUTPUTS, load_policy

SEED = 7
SIZES = (1, 256)
EPSILON = 0.1


@dataclass(frozen=True)
class Subject:
    """One system at one size; ``call`` takes the number of the call."""

    system: str
    size: int
    call: Callable[[int], object]


def contexts(spec: LoopSpec, n: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    """n snapshots as products send them: every field filled, histories full."""
    ids = spec.action_ids
    return [
        {
            "emotion": rng.uniform(-1, 1, 128).round(6).tolist(),
            "recent_interactions": [
                {"action": ids[a], "reward": float(r)}
                for a, r in zip(
                    rng.integers(len(ids), size=10), rng.uniform(-1, 1, 10), strict=True
                )
            ],
            "heart_rate": float(rng.uniform(50, 120)),
            "pulse_variability": float(rng.uniform(10, 100)),
            "hour": int(rng.integers(24)),
            "weekday": int(rng.integers(7)),
            "week": int(rng.integers(1, 53)),
            "connections": int(rng.integers(50)),
            "active_connections": int(rng.integers(10)),
            "age_group": "25_to_44",
        }
        for _ in range(n)
    ]


def exported(spec: LoopSpec, version: str, seed: int, folder: Path) -> Path:
    """A policy as the daily graph exports it; untrained weights cost the runtime the same."""
    network = PolicyNetwork(layout(spec).width, len(spec.actions), spec.training.hidden, seed=seed)
    path = folder / f"{version}.onnx"
    export_policy(network, spec, version, path)
    return path


def deployed(spec: LoopSpec, home: Path) -> tuple[Workspace, Path]:
    """A workspace with an active model and a candidate that half of the people meet."""
    settings.initialise(home)
    place = open_workspace(home)
    paths = [exported(spec, f"companion-{seed}", seed, home) for seed in (1, 2)]
    active, candidate = (
        register(
            Candidate(
                loop=spec.name,
                model_type=ModelType.INTERVENTION,
                files={"policy.onnx": path},
                served="policy.onnx",
                performance_metrics={},
                lineage=dict.fromkeys(REQUIRED_LINEAGE, path.stem),
                provenance=Provenance.PRIVATE_RELEASE,
                verdict="continue",
                training_date=datetime.now(UTC),
            ),
            place.registry,
            place.blobs,
        ).checkpoint_id
        for path in paths
    )
    promote(active, place.registry, place.blobs, place.deployments, "benchmark")
    place.rollouts.start(
        RolloutRecord(
            rollout_id=str(uuid.uuid4()),
            loop=spec.name,
            candidate=candidate,
            active=active,
            state="started",
            traffic_percent=50.0,
            reasons=(),
            recorded_at=datetime.now(UTC),
        )
    )
    return place, paths[0]


def subjects(spec: LoopSpec, engine: DecisionEngine, path: Path) -> list[Subject]:
    """What is timed, on the same contexts."""
    rng = np.random.default_rng(SEED)
    many = contexts(spec, max(SIZES), rng)
    states = encode_context(spec, many)
    mask = np.ones((len(many), len(spec.actions)), dtype=np.bool_)
    questions = [
        Question(str(uuid.uuid4()), spec, f"{n:064x}", context, "0" * 64)
        for n, context in enumerate(many)
    ]
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    policy = load_policy(path, spec=spec)
    epsilon = np.array([EPSILON], dtype=np.float32)
    rows = [
        (
            {"context": states[i : i + 1], "mask": mask[i : i + 1], "epsilon": epsilon},
            States(states[i : i + 1], mask[i : i + 1]),
        )
        for i in range(len(many))
    ]
    whole = {"context": states, "mask": mask, "epsilon": epsilon}
    names, n = list(OUTPUTS), len(many)
    return [
        Subject("onnxruntime", 1, lambda i: session.run(names, rows[i % n][0])),
        Subject("policy", 1, lambda i: policy.act(rows[i % n][1], EPSILON)),
        Subject("engine", 1, lambda i: answered(engine, questions[i % n : i % n + 1])),
        Subject("onnxruntime", n, lambda _: session.run(names, whole)),
        Subject("policy", n, lambda _: policy.act(States(states, mask), EPSILON)),
        Subject("engine", n, lambda _: answered(engine, questions)),
    ]


def answered(engine: DecisionEngine, questions: Sequence[Question]) -> None:
    """Decide as the service does; a store that takes no time stands for the database's writer."""
    decisions = engine.decide_many("default", questions)
    with engine.storing(decisions):
        pass


@dataclass(frozen=True)
class Timing:
    """One round of one subject: wall time of a call in ms, CPU time of a decision in µs."""

    p50_ms: float
    p99_ms: float
    cpu_us: float


def timed(subject: Subject, calls: int) -> Timing:
    """Time ``calls`` calls, after a tenth of them to warm up."""
    for i in range(max(1, calls // 10)):
        subject.call(i)
    taken = np.empty(calls)
    worked = time.thread_time_ns()
    for i in range(calls):
        began = time.perf_counter_ns()
        subject.call(i)
        taken[i] = time.perf_counter_ns() - began
    cpu_us = (time.thread_time_ns() - worked) / 1e3 / calls / subject.size
    low, high = np.percentile(taken, [50, 99]) / 1e6
    return Timing(float(low), float(high), cpu_us)


def rounds_of(
    tried: Sequence[Subject], rounds: int, calls: int
) -> dict[tuple[str, int], list[Timing]]:
    """Every subject in every round; within a round each runs once."""
    found: dict[tuple[str, int], list[Timing]] = {}
    for _ in range(rounds):
        for subject in tried:
            share = calls if subject.size == 1 else max(10, calls // 20)
            found.setdefault((subject.system, subject.size), []).append(timed(subject, share))
    return found


def rows_of(
    found: Mapping[tuple[str, int], Sequence[Timing]],
) -> list[dict[str, Any]]:
    """Rows of the record; ``ratio_to_onnxruntime`` is of medians within rounds."""
    rows = []
    for (system, size), taken in found.items():
        bare = found["onnxruntime", size]
        ratio = spread(
            [mine.p50_ms / theirs.p50_ms for mine, theirs in zip(taken, bare, strict=True)]
        )
        rows.append(
            {
                "system": system,
                "size": size,
                "p50_ms": spread([t.p50_ms for t in taken]).value,
                "p99_ms": spread([t.p99_ms for t in taken]).value,
                "cpu_us_per_decision": spread([t.cpu_us for t in taken]).value,
                "ratio_to_onnxruntime": ratio.value,
                "rounds": len(taken),
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="two short rounds")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--calls", type=int, default=2000)
    options = parser.parse_args()
    rounds, calls = (2, 200) if options.quick else (options.rounds, options.calls)
    spec = load("companion")
    with tempfile.TemporaryDirectory() as folder:
        place, path = deployed(spec, Path(folder) / "home")
        engine = DecisionEngine(place, {spec.name: spec}, SystemClock())
        engine.start()
        try:
            found = rounds_of(subjects(spec, engine, path), rounds, calls)
            state = engine.state("default", spec.name)
        finally:
            engine.close()
            place.engine.dispose()
    if state.degraded or state.candidate is None:
        raise RuntimeError(f"The engine did not serve both models: {state}.")
    rows = rows_of(found)
    print(f"{'system':<14}{'size':>6}{'p50 ms':>10}{'p99 ms':>10}{'CPU us':>10}{'ratio':>8}")
    for row in rows:
        print(
            f"{row['system']:<14}{row['size']:>6}{row['p50_ms']:>10.4f}{row['p99_ms']:>10.4f}"
            f"{row['cpu_us_per_decision']:>10.1f}{row['ratio_to_onnxruntime']:>8.2f}"
        )
    p50: Spread = spread([taken.p50_ms for taken in found["policy", 1]])
    print(record("decide", SEED, rows, [Goal("onnx_p50_ms_batch1", p50, 0.1, "max")]))


if __name__ == "__main__":
    main()
