"""Ten categorical traits at epsilon 1: the fitted mixture beside dpmm's AIM and MST.

Each round draws 10,000 people of a structure; every system sees the same people and makes as many
synthetic ones. Judged on 20,000 other people: mean total variation over the 45 2-way tables, and the AUC
with which the last trait is predicted after training on synthetic people. CPU seconds count releasing,
fitting and drawing. Ratios are taken within rounds; dpmm's results are kept (see ``peers``).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.private import peers
from bench.private.predict import prediction_auc
from bench.private.trait_structures import STRUCTURES, Structure
from bench.record import Goal, ratios, spread
from everloop.privacy.accounting import mu
from synthetic.profiles.mixture import independent
from synthetic.profiles.mixture_fit import NoisyTables, fit_mixture, projected_shares
from synthetic.profiles.pair_tables import PairLayout, every_pair, pair_counts

Codes = NDArray[np.int64]
PEOPLE, QUICK_PEOPLE, TEST_PEOPLE = 10_000, 1_000, 20_000
SEEDS = (1, 2, 3)
EPSILON, DELTA = 1.0, 1e-5


def tables_of(codes: Codes, cards: tuple[int, ...], sigma: float, seed: int) -> NoisyTables:
    """Every 2-way table under one Gaussian release; a person's vector of P ones has norm sqrt(P).

    Sums are divided by the number of people as by a public constant.

    ``sigma`` 0 releases them as they are (a floor stands for the noise in the fit).
    """
    layout = PairLayout(cards, every_pair(len(cards)))
    people, norm = len(codes), float(np.sqrt(len(layout.pairs)))
    counts = pair_counts(layout, codes, np.zeros(people, dtype=np.int64), np.ones(people), 1)[0]
    noise = np.random.default_rng([33, seed]).standard_normal(layout.cells)
    bins = sum(cards)
    return NoisyTables(
        cards=cards,
        group=np.arange(bins),
        shares=np.zeros(bins),
        deviation=float("inf"),
        joint=layout.matrix((counts + sigma * norm * noise) / people),
        measured=layout.measured,
        joint_deviation=max(sigma * norm, 1.0) / people,
    )


def pair_distance(one: Codes, other: Codes, cards: tuple[int, ...]) -> float:
    """Mean over pairs of the total variation between 2-way tables."""
    layout = PairLayout(cards, every_pair(len(cards)))
    tables = []
    for codes in (one, other):
        owner, weight = np.zeros(len(codes), dtype=np.int64), np.full(len(codes), 1.0 / len(codes))
        tables.append(pair_counts(layout, codes, owner, weight, 1)[0])
    return float(0.5 * np.abs(tables[0] - tables[1]).sum() / len(layout.pairs))


def _ours(people: Codes, cards: tuple[int, ...], sigma: float, seed: int) -> Codes:
    mixture = fit_mixture(tables_of(people, cards, sigma, seed))
    return mixture.draw(len(people), np.random.default_rng([34, seed]))


def _independent(people: Codes, cards: tuple[int, ...], seed: int) -> Codes:
    """1-way tables alone, under the same budget: a person's vector has norm sqrt(V)."""
    bins, owner = sum(cards), np.repeat(np.arange(len(cards)), cards)
    start = np.concatenate([[0], np.cumsum(cards)[:-1]])
    counts = np.bincount((people + start).ravel(), minlength=bins).astype(np.float64)
    noise = np.random.default_rng([35, seed]).standard_normal(bins)
    deviation = float(np.sqrt(len(cards))) / mu(EPSILON, DELTA) / len(people)
    unmeasured = np.zeros((len(cards), len(cards)), dtype=np.bool_)
    tables = NoisyTables(
        cards,
        np.arange(bins),
        counts / len(people) + deviation * noise,
        deviation,
        np.zeros((len(owner), len(owner))),
        unmeasured,
        1.0,
    )
    return independent(projected_shares(tables), cards).draw(
        len(people), np.random.default_rng([36, seed])
    )


def one_round(structure: Structure, seed: int, people: int, dpmm: bool) -> list[dict[str, Any]]:
    """Rows of every system on one structure and seed."""
    rng = np.random.default_rng([37, seed])
    train, test = structure.draw(people, rng), structure.draw(TEST_PEOPLE, rng)
    cards, sigma = structure.cards, 1.0 / mu(EPSILON, DELTA)
    made: dict[str, tuple[Codes, float]] = {"real people": (train, 0.0)}
    systems = {
        "independent": lambda: _independent(train, cards, seed),
        "non-private": lambda: _ours(train, cards, 0.0, seed),
        "everloop": lambda: _ours(train, cards, sigma, seed),
    }
    for name, make in systems.items():
        started = time.process_time()
        drawn = make()
        made[name] = (drawn, time.process_time() - started)
    python = peers.interpreter() if dpmm else None
    if python is not None:
        for which in ("mst", "aim"):
            made[f"dpmm {which}"] = peers.generate(python, which, train, cards, seed)
    return [
        {
            "system": name,
            "structure": structure.name,
            "seed": seed,
            "people": people,
            "tvd": pair_distance(codes, test, cards),
            "auc": prediction_auc(codes, test, cards),
            "cpu_s": spent,
        }
        for name, (codes, spent) in made.items()
    ]


def measure(quick: bool = False) -> tuple[list[dict[str, Any]], list[Goal]]:
    """(rows, goals); ``quick`` is one small round without the peers, so without goals."""
    seeds = SEEDS[:1] if quick else SEEDS
    people = QUICK_PEOPLE if quick else PEOPLE
    rows = [
        row
        for seed in seeds
        for make in STRUCTURES
        for row in one_round(make(seed), seed, people, dpmm=not quick)
    ]
    return rows, goals(rows)


def goals(rows: list[dict[str, Any]]) -> list[Goal]:
    """Ratios to AIM within rounds; none where AIM was not run."""
    ours, aim = (_of(rows, name) for name in ("everloop", "dpmm aim"))
    if not aim:
        return []
    return [
        Goal("traits_tstr_share_of_aim", ratios(ours["auc"], aim["auc"]), 0.97, "min"),
        Goal("traits_tvd_ratio_to_aim", ratios(ours["tvd"], aim["tvd"]), 1.5, "max"),
        Goal("traits_cpu_ratio_to_aim", ratios(ours["cpu_s"], aim["cpu_s"]), 0.1, "max"),
    ]


def summary(rows: list[dict[str, Any]]) -> str:
    """A table of medians over rounds."""
    lines = [f"{'system':<14}{'2-way TVD':>12}{'AUC':>10}{'CPU s':>10}"]
    for name in dict.fromkeys(row["system"] for row in rows):
        of = _of(rows, name)
        middle = {key: spread(of[key]).value for key in ("tvd", "auc", "cpu_s")}
        lines.append(
            f"{name:<14}{middle['tvd']:>12.4f}{middle['auc']:>10.3f}{middle['cpu_s']:>10.2f}"
        )
    return "\n".join(lines)


def _of(rows: list[dict[str, Any]], system: str) -> Mapping[str, list[float]]:
    found = [row for row in rows if row["system"] == system]
    return {key: [row[key] for row in found] for key in ("tvd", "auc", "cpu_s")} if found else {}
