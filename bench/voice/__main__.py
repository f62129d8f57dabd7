"""Tokens a CPU second and memory of training an adapter, beside plain TRL; duplicates; swaps and A/B.

Every system trains the same adapter on the same conversations, the same number of steps of the same batch
at the same length without checkpointing of activations, one thread, each training in a process of its own,
in rounds that go through all systems; each round is a seed, and starts with another system. ``trl`` has
TRL's defaults with the batch as a whole; ``trl_in_parts`` takes the batch in the parts of our preset, to
which the goals compare nothing and the record does. CPU seconds are of the training with its
loading, tokenising and publishing, imports are not; peak memory is that of the whole process.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.record import Goal, measured, ratios, record

ROUNDS = 3
SYSTEMS = ("everloop", "trl", "trl_in_parts")
METHODS = ("sft", "dpo")
PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate", "rensa")
Row = dict[str, Any]


def main() -> None:
    """Run and print; the last line is the record."""
    parser = argparse.ArgumentParser(prog="python -m bench.voice", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a smoke size, which measures no goal")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="each of a seed of its own")
    options = parser.parse_args()
    seeds = range(options.seed, options.seed + (1 if options.quick else options.rounds))
    with tempfile.TemporaryDirectory() as place:
        base = _prepared(Path(place))
        rounds = [
            {
                (system, method): _train(system, method, seed, base, Path(place), options.quick)
                for method in METHODS
                for system in _turned(SYSTEMS, number)
            }
            for number, seed in enumerate(seeds)
        ]
        beside = _child("bench.voice.beside", [str(base)], Path(place), options.quick)
    for row in beside["rows"]:
        print(json.dumps(row))
    rows = [
        {"system": f"{system} {method}", "seed": seed, **figures}
        for seed, round_ in zip(seeds, rounds, strict=True)
        for (system, method), figures in round_.items()
    ]
    print(_table(rounds))
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    rows = [*rows, *beside["rows"], {"system": "versions", **versions}]
    print(record("voice", options.seed, rows, [] if options.quick else _goals(rounds)))


def _prepared(place: Path) -> Path:
    """The base, made by another process, so that this one stays small."""
    found = place / "base.json"
    measured([sys.executable, "-m", "bench.voice.prepare", str(found)])
    return Path(json.loads(found.read_text()))


def _train(system: str, method: str, seed: int, base: Path, place: Path, quick: bool) -> Row:
    return _child("bench.voice.one", [system, method, str(seed), str(base)], place, quick)


def _child(module: str, arguments: list[str], place: Path, quick: bool) -> Row:
    file = place / "figures.json"
    command = [sys.executable, "-m", module, *arguments, str(file)]
    environment = {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    used = measured(command + (["--quick"] if quick else []), environment)
    row: Row = json.loads(file.read_text())
    file.unlink()
    return row | {"peak_mb": used.peak_mb, "wall_s": used.wall_s, "cpu_s": used.cpu_s}


def _turned(systems: tuple[str, ...], number: int) -> tuple[str, ...]:
    first = number % len(systems)
    return systems[first:] + systems[:first]


def _goals(rounds: list[dict[tuple[str, str], Row]]) -> list[Goal]:
    """Of the worse method in each round: both have to be no slower, and to take less."""
    rates = [
        min(_ratio(round_, method, "tokens_per_cpu_s") for method in METHODS) for round_ in rounds
    ]
    peaks = [max(_ratio(round_, method, "peak_mb") for method in METHODS) for round_ in rounds]
    ones = [1.0] * len(rounds)
    return [
        Goal("tokens_ratio_vs_trl", ratios(rates, ones), 1.0, "min"),
        Goal("peak_memory_ratio_vs_trl", ratios(peaks, ones), 0.7, "max"),
    ]


def _ratio(round_: dict[tuple[str, str], Row], method: str, figure: str) -> float:
    return float(round_["everloop", method][figure] / round_["trl", method][figure])


def _table(rounds: list[dict[tuple[str, str], Row]]) -> str:
    lines = [f"{'':<20}{'tokens/CPU s':>14}{'peak MiB':>12}"]
    for method in METHODS:
        for system in SYSTEMS:
            found = [round_[system, method] for round_ in rounds]
            rate = statistics.median(row["tokens_per_cpu_s"] for row in found)
            peak = statistics.median(row["peak_mb"] for row in found)
            lines.append(f"{system + ' ' + method:<20}{rate:>14.0f}{peak:>12.0f}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
