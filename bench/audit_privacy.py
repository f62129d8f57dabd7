"""An audit of the private releases that ship, and of bugs planted in them: does it see every one?

    python -m bench.audit_privacy [--canaries 1000] [--seed 7] [--quick]

A fit runs once on made-up people, half of a thousand canaries among them by coin flips; the releases of
one sum run a thousand times with or without one person; see ``synthetic.audit``. What ships has to pass,
every planted bug has to fail: anything else exits with 1.
``--quick`` throws 200 coins, with the tolerance that so few need.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from bench import audit_planted as planted
from bench import audit_releases
from bench.record import Goal, Spread, record
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.privacy import (
    GaussianMechanism,
    Mechanism,
    SubsampledGaussianMechanism,
)
from everloop.loops import load
from everloop.privacy import accounting
from everloop.privacy.mechanisms import subsampled_for
from synthetic.audit.fits import Planted, audit_fit, plant
from synthetic.audit.repeated import Make, audit_repeated
from synthetic.audit.verdict import AuditResult
from synthetic.profiles.statistics import noisy_sums
from synthetic.quality import published_vectors
from synthetic.user_model.private_fit import private_fit

STEPS = 4
SAMPLING_RATE = 0.2
SAMPLED_STEPS = 12
CLAIMED_RATE = 0.05
ACTUAL_RATE = 0.95
CPU_SECONDS = 300.0
Audit = Callable[[str, bytes], AuditResult]
SUMS: tuple[tuple[str, Callable[..., Make], Any], ...] = (
    ("profiles", audit_releases.profiles, noisy_sums),
    ("quality figures", audit_releases.quality, published_vectors.noisy_sums),
)


@dataclass(frozen=True)
class Case:
    """One release to audit. ``ships``: it is the code that ships, without a planted bug."""

    name: str
    ships: bool
    audit: Audit


def cases(canaries: int, seed: int) -> Iterator[Case]:
    """What ships first, then every bug; as many ordinary people as canaries."""
    spec = of_budget(load("companion"), people=2 * canaries)
    people = plant(spec, canaries, canaries, seed)
    budget = accounting.mu(spec.privacy.epsilon, spec.privacy.delta) ** 2
    whole = GaussianMechanism((STEPS / budget) ** 0.5, spec.privacy.clip, STEPS)
    sampled = sampled_mechanism(spec, SAMPLING_RATE, SAMPLED_STEPS, budget)
    few = sampled_mechanism(spec, CLAIMED_RATE, SAMPLED_STEPS, budget)
    each = spec.privacy.episodes_per_person
    once = GaussianMechanism(budget**-0.5, 1.0, 1)

    def fit(
        change: Callable[..., Any], mechanism: Mechanism
    ) -> Callable[[str, bytes], AuditResult]:
        return lambda name, noise: _fit(name, noise, change, spec, people, mechanism)

    def sums(release: Callable[..., Make], shipped: Any, change: Any) -> Audit:
        return lambda name, noise: audit_repeated(
            name,
            release(change(shipped), spec, once, seed),
            canaries,
            once.sigma * once.clip,
            once.clip,
            spec.privacy.epsilon,
            spec.privacy.delta,
            seed,
            noise,
        )

    def as_it_is(function: Callable[..., Any]) -> Callable[..., Any]:
        return function

    yield Case("user model", True, fit(as_it_is, whole))
    yield Case(f"user model, sampled at {SAMPLING_RATE:g}", True, fit(as_it_is, sampled))
    for name, release, shipped in SUMS:
        yield Case(name, True, sums(release, shipped, as_it_is))
    yield Case("user model: noise off", False, fit(planted.fit_with_noise(0.0), whole))
    yield Case("user model: noise halved", False, fit(planted.fit_with_noise(0.5), whole))
    yield Case("user model: loss averaging", False, fit(planted.fit_with_noise(1 / each), whole))
    yield Case("user model: clipped per row", False, fit(planted.fit_clipped_per_row, whole))
    yield Case("user model: clip doubled", False, fit(planted.fit_with_clip(2.0), whole))
    yield Case("user model, sampled: clip doubled", False, fit(planted.fit_with_clip(2.0), sampled))
    yield Case("user model: wrong q", False, fit(planted.fit_at_rate(ACTUAL_RATE), few))
    for name, release, shipped in SUMS:
        yield Case(
            f"{name}: noise off", False, sums(release, shipped, planted.sums_with_noise(0.0))
        )
        yield Case(
            f"{name}: noise halved", False, sums(release, shipped, planted.sums_with_noise(0.5))
        )
        yield Case(
            f"{name}: clipped per row", False, sums(release, shipped, planted.sums_clipped_per_row)
        )
        yield Case(
            f"{name}: clip doubled", False, sums(release, shipped, planted.sums_counted_twice)
        )


def of_budget(spec: LoopSpec, people: int) -> LoopSpec:
    """The loop for so many people, with its whole period's budget for one release."""
    privacy = spec.privacy.model_copy(update={"people_expected": people, "epsilon": 1.0})
    return spec.model_copy(update={"privacy": privacy})


def sampled_mechanism(
    spec: LoopSpec, rate: float, steps: int, budget: float
) -> SubsampledGaussianMechanism:
    """The subsampled mechanism that costs the budget, as the ledger's accounting has it."""
    terms = spec.privacy.model_copy(update={"sampling_rate": rate, "steps": steps})
    return subsampled_for(budget, terms)


def _fit(
    name: str,
    noise: bytes,
    change: Callable[..., Any],
    spec: LoopSpec,
    people: Planted,
    mechanism: Mechanism,
) -> AuditResult:
    return audit_fit(name, change(private_fit), spec, people, mechanism, noise)


def run(case: Case, seed: int) -> tuple[AuditResult, float]:
    """(its result, CPU seconds)."""
    started = time.process_time()
    noise = hashlib.sha256(f"audit/{seed}/{case.name}".encode()).digest()
    return case.audit(case.name, noise), time.process_time() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--canaries", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="200 canaries")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    total = time.process_time()
    print(
        f"{'release':<32}{'right':>11}{'eps >=':>8}{'noise':>7}{'shift':>7}  {'verdict':<8}{'CPU s':>6}"
    )
    for case in cases(200 if options.quick else options.canaries, options.seed):
        found, seconds = run(case, options.seed)
        right = f"{found.correct}/{found.guesses}"
        verdict = "passes" if found.passed else "fails"
        surprise = "" if found.passed == case.ships else "   <- it should not"
        print(
            f"{case.name:<32}{right:>11}{found.epsilon_lower:>8.2f}{found.noise_ratio:>7.2f}"
            f"{found.shift.ratio:>7.2f}  {verdict:<8}{seconds:>6.1f}{surprise}",
            flush=True,
        )
        rows.append(
            {
                "system": case.name,
                "ships": case.ships,
                "passed": found.passed,
                "size": found.canaries,
                "guesses": found.guesses,
                "correct": found.correct,
                "epsilon": found.epsilon,
                "epsilon_lower": found.epsilon_lower,
                "noise_ratio": found.noise_ratio,
                "noise_tolerance": found.noise_tolerance,
                "shift_ratio": found.shift.ratio,
                "shift_tolerance": found.shift.tolerance,
                "cpu_s": seconds,
            }
        )
    goals = [
        _share("shipped_passed_share", [row["passed"] for row in rows if row["ships"]]),
        _share("planted_caught_share", [not row["passed"] for row in rows if not row["ships"]]),
        _least("cpu_s", time.process_time() - total),
    ]
    print(record("audit_privacy", options.seed, rows, goals))
    sys.exit(0 if all(goal.met for goal in goals[:2]) else 1)


def _share(name: str, hits: list[bool]) -> Goal:
    share = sum(hits) / len(hits)
    return Goal(name, Spread(share, share, share), 1.0, "min")


def _least(name: str, seconds: float) -> Goal:
    return Goal(name, Spread(seconds, seconds, seconds), CPU_SECONDS, "max")


if __name__ == "__main__":
    main()
