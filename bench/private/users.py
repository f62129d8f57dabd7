"""(a) The user model with privacy beside the same model without: one fit, and a year of nights.

Both learn the same loss from the same people and are asked about held-out people: how well do their
logits rank what was accepted, what ended a journey, what was answered (area under the ROC curve)?
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from bench.private.living import LivingTerms, LivingWorld, of_people
from bench.private.rows import Rows
from bench.record import Goal, Spread, spread
from everloop.contracts.datasets import EncodedEpisodes
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.privacy import GaussianMechanism
from everloop.loops import load
from everloop.privacy import accounting
from rl.encoders import layout
from synthetic.noise import SealedNoise
from synthetic.people import PeopleEpisodes, following, gather, people_of
from synthetic.quality.auc import auc
from synthetic.user_model.features import FeatureMap
from synthetic.user_model.nights import MEMORY_NIGHTS, Released, play_nights
from synthetic.user_model.outcomes import outcomes_of
from synthetic.user_model.reference_fit import reference_fit
from synthetic.user_model.weights import Weights, logits_of, unflatten
from synthetic.user_model.widest import feature_map

YEAR = 365
HELD_OUT = 3_000
DRIFT = 1.0
"""Radians by which tastes turn in the year: what was liked at its start is another thing at its end."""
TURNOVER = 0.5
JUDGED_DAYS = 14.0
"""Held-out people's decisions of the last so many days are what a year is judged on."""
WEEKS = 52
RESAMPLES = 100
SCHEDULES = {"nightly": 1, "weekly": 7, "monthly": 30, "cohorts": 7}
"""Days between fits. ``cohorts``: each week another 52nd of the people, with the whole budget at once."""
CHECKPOINT_FITS = 20
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Terms:
    """What one row of the table measures; the key under which it is kept."""

    people: int
    episodes: int
    seed: int
    schedule: str = "single"
    epsilon: float = 1.0
    steps: int | None = None
    days: int = YEAR


def loop_for(terms: Terms) -> LoopSpec:
    """The shipped example's loop for so many people."""
    spec = load("companion")
    changed = {"people_expected": terms.people, "epsilon": terms.epsilon}
    if terms.steps is not None:
        changed["steps"] = terms.steps
    return spec.model_copy(update={"privacy": spec.privacy.model_copy(update=changed)})


def measure(terms: Terms, rows: Rows, tell: Tell) -> dict[str, Any]:
    """The row of these terms, from the cache where it was measured before."""
    known = rows.known("users", asdict(terms))
    if known is not None:
        return known
    started = time.process_time()
    found = _single(terms) if terms.schedule == "single" else _year(terms, rows, tell)
    row = {
        "system": f"user model, {terms.schedule}",
        "size": terms.people,
        **asdict(terms),
        **found,
        "cpu_s": time.process_time() - started,
    }
    return rows.keep("users", asdict(terms), row)


def _single(terms: Terms) -> dict[str, Any]:
    """One fit with the whole period's budget at once, everybody with so many episodes."""
    spec = loop_for(terms)
    world = LivingWorld(spec, LivingTerms(terms.people, HELD_OUT, terms.episodes, terms.seed))
    world.fill()
    features, people, judged = _data(spec, world)
    mu_squared = _budget(spec)
    (private,) = play_nights(
        spec, features, [(people, _mechanism(spec, mu_squared), mu_squared, _noise(terms, 0))]
    )
    return _judge(spec, features, people, judged, private.weights)


def _year(terms: Terms, rows: Rows, tell: Tell) -> dict[str, Any]:
    spec, every = loop_for(terms), SCHEDULES[terms.schedule]
    world = LivingWorld(
        spec, LivingTerms(terms.people, HELD_OUT, terms.episodes, terms.seed, DRIFT, TURNOVER)
    )
    world.fill()
    features = feature_map(spec, world.episodes().interacting, layout(spec))
    checkpoint = rows.path("users", asdict(terms)).with_suffix(".safetensors")
    done, before = _resume(checkpoint, features)
    fits = range(0, terms.days, every)
    for number, day in enumerate(fits):
        world.play(every if number else 1)
        if number < done:
            continue
        before = _fit(terms, spec, features, world, number, every, before)
        if (number + 1) % CHECKPOINT_FITS == 0:
            _save(checkpoint, number + 1, before)
            tell(f"{terms.schedule} {terms.people:,}: day {day + 1} of {terms.days}")
    if before is None:
        raise RuntimeError("A year without a fit.")
    _, people, judged = _data(spec, world)
    recent = judged.timestamp >= world.until - JUDGED_DAYS * 86_400.0
    found = _judge(spec, features, people, judged, before.weights, recent)
    checkpoint.unlink(missing_ok=True)
    return found | {"fits": len(fits), "people_ever": world.ever}


def _fit(
    terms: Terms,
    spec: LoopSpec,
    features: FeatureMap,
    world: LivingWorld,
    number: int,
    every: int,
    before: Released | None,
) -> Released:
    """One fit of a schedule, from everybody or from the cohort whose turn it is."""
    privacy, budget = spec.privacy, _budget(spec)
    _, people, _ = _data(spec, world)
    if terms.schedule == "cohorts":
        mu_squared = budget
        people = _cohort(people, number % WEEKS)
        smaller = privacy.model_copy(update={"people_expected": max(1, terms.people // WEEKS)})
        spec = spec.model_copy(update={"privacy": smaller})
    elif before is None:
        mu_squared = budget * privacy.first_fit_share
    else:
        mu_squared = budget * (1.0 - privacy.first_fit_share) * every / privacy.period_days
    if before is not None:
        # a night's memory fades once a night, whether or not it has a fit of its own
        faded = before.precision * (1.0 - 1.0 / MEMORY_NIGHTS) ** (every - 1)
        before = Released(before.weights, faded)
    night = (people, _mechanism(spec, mu_squared), mu_squared, _noise(terms, number))
    (after,) = play_nights(spec, features, [night], before)
    return after


def _data(spec: LoopSpec, world: LivingWorld) -> tuple[FeatureMap, PeopleEpisodes, EncodedEpisodes]:
    """(features, people who are learned from, episodes of the others)."""
    episodes = world.episodes()
    features = feature_map(spec, episodes.interacting, layout(spec))
    learned = of_people(episodes, held_out=False)
    people = gather(
        learned,
        people_of(learned),
        spec.privacy.episodes_per_person,
        following(learned, world.until),
    )
    return features, people, of_people(episodes, held_out=True)


def _cohort(people: PeopleEpisodes, week: int) -> PeopleEpisodes:
    """The people whose pseudonym's number leaves this remainder: nobody is in two cohorts."""
    chosen = np.array([int(person, 16) % WEEKS == week for person in people.people])
    names = tuple(np.array(people.people)[chosen].tolist())
    return PeopleEpisodes(names, people.rows[chosen], people.episodes, people.following)


def _judge(
    spec: LoopSpec,
    features: FeatureMap,
    people: PeopleEpisodes,
    judged: EncodedEpisodes,
    private: Weights,
    rows: np.ndarray | None = None,
) -> dict[str, Any]:
    reference = reference_fit(spec, features, people)
    found: dict[str, Any] = {
        "parameters": features.parameters,
        "learned_people": len(people),
        "episodes_per_person": float((people.rows >= 0).sum() / len(people)),
        "judged_decisions": len(judged) if rows is None else int(rows.sum()),
    }
    for name, weights in (("private", private), ("nonprivate", reference)):
        for head, value in _aucs(spec, features, judged, weights, rows).items():
            found[f"auc_{head}_{name}"] = value
    found["auc_share"] = found["auc_acceptance_private"] / found["auc_acceptance_nonprivate"]
    chosen = np.arange(len(judged)) if rows is None else np.flatnonzero(rows)
    low, high = _share_interval(
        spec, features, judged.where(_mask(judged, chosen)), private, reference
    )
    return found | {"auc_share_low": low, "auc_share_high": high}


def _mask(judged: EncodedEpisodes, chosen: np.ndarray) -> np.ndarray:
    mask = np.zeros(len(judged), dtype=np.bool_)
    mask[chosen] = True
    return mask


def _share_interval(
    spec: LoopSpec,
    features: FeatureMap,
    judged: EncodedEpisodes,
    private: Weights,
    reference: Weights,
) -> tuple[float, float]:
    """95 % interval of the share of the acceptance's AUC: bootstrap over held-out people, paired."""
    labels = judged.reward >= spec.reward.success_at
    seen = features.of(judged.context, judged.action)
    scores = [logits_of(weights, seen)[:, features.signals] for weights in (private, reference)]
    people, person = np.unique(judged.person, return_inverse=True)
    rng = np.random.default_rng(len(judged))
    shares = []
    for _ in range(RESAMPLES):
        drawn = rng.multinomial(len(people), np.full(len(people), 1.0 / len(people)))
        weight = drawn[person].astype(np.float64)
        kept = weight > 0
        ours, theirs = (auc(labels[kept], score[kept], weight[kept]) for score in scores)
        shares.append(float(ours / theirs))
    low, high = np.quantile(shares, (0.025, 0.975))
    return float(low), float(high)


def _aucs(
    spec: LoopSpec,
    features: FeatureMap,
    judged: EncodedEpisodes,
    weights: Weights,
    rows: np.ndarray | None,
) -> dict[str, float]:
    """Area under the ROC curve of every head whose truth is yes or no."""
    chosen = np.arange(len(judged)) if rows is None else np.flatnonzero(rows)
    until = float(judged.timestamp.max()) if len(judged) else 0.0
    truth = outcomes_of(spec, features, judged, following(judged, until), chosen)
    logits = logits_of(weights, features.of(judged.context[chosen], judged.action[chosen]))
    wide, narrow = features.signals + 1, features.presences + 1
    thumb = spec.signal_names.index("explicit_feedback")
    heads = {
        "acceptance": features.signals,
        "thumb": thumb,
        "presence": wide,
        "end": wide + narrow - 1,
    }
    found = {}
    for name, head in heads.items():
        target, known = truth.target[:, head], truth.weight[:, head] > 0
        known &= target != 0.5
        labels = target[known] > 0.5
        if labels.any() and not labels.all():
            found[name] = float(auc(labels, logits[known, head]))
    return found


def _budget(spec: LoopSpec) -> float:
    return accounting.mu(spec.privacy.epsilon, spec.privacy.delta) ** 2


def _mechanism(spec: LoopSpec, mu_squared: float) -> GaussianMechanism:
    steps = spec.privacy.steps
    return GaussianMechanism(float(np.sqrt(steps / mu_squared)), spec.privacy.clip, steps)


def _noise(terms: Terms, number: int) -> SealedNoise:
    """Seeded, so that a benchmark repeats; a release's own never is."""
    named = json.dumps(asdict(terms), sort_keys=True)
    return SealedNoise(hashlib.sha256(f"{named}/{number}".encode()).digest(), "bench")


def _save(path: Any, done: int, before: Released) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(
        {"flat": before.weights.flat, "more": np.array([float(done), before.precision])}, path
    )


def _resume(path: Any, features: FeatureMap) -> tuple[int, Released | None]:
    if not path.exists():
        return 0, None
    kept = load_file(path)
    if len(kept["flat"]) != features.parameters:
        return 0, None
    return int(kept["more"][0]), Released(unflatten(features, kept["flat"]), float(kept["more"][1]))


def plan(quick: bool, seeds: tuple[int, ...]) -> list[Terms]:
    """What is measured, the cheapest and most telling first; what takes longest with one seed."""
    if quick:
        return [Terms(500, 5, seeds[0]), Terms(300, 5, seeds[0], "weekly", days=28)]
    single = [Terms(n, e, s) for e in (20, 1) for n in (2_000, 10_000) for s in seeds]
    single += [Terms(50_000, e, seeds[0]) for e in (20, 1)]
    rare = ("weekly", "monthly", "cohorts")
    years = [Terms(10_000, 20, seeds[0], schedule) for schedule in ("nightly", *rare)]
    years += [Terms(2_000, 20, s, schedule) for schedule in rare for s in seeds]
    years.append(Terms(2_000, 20, seeds[0], "nightly"))
    return [*single, *years, Terms(50_000, 20, seeds[0], "monthly")]


def goals(rows: list[dict[str, Any]]) -> list[Goal]:
    """The share of the AUC that a year of nights keeps, where 10,000 people have 20 episodes each."""
    found = [
        row
        for row in rows
        if (row["people"], row["episodes"], row["schedule"]) == (10_000, 20, "nightly")
    ]
    return [Goal("auc_share_of_nonprivate", _together(found), 0.98, "min")] if found else []


def _together(rows: list[dict[str, Any]]) -> Spread:
    """Median over seeds; the interval covers every seed's own, which is over held-out people."""
    value = spread([row["auc_share"] for row in rows]).value
    low = min(row["auc_share_low"] for row in rows)
    high = max(row["auc_share_high"] for row in rows)
    return Spread(value, min(low, value), max(high, value))


def summary(rows: list[dict[str, Any]]) -> str:
    """A table: medians over seeds, with the interval of the share."""
    head = ("schedule", "people", "episodes", "numbers", "seeds", "private", "without", "share")
    lines = [("{:<10}" + "{:>10}" * 6 + "{:>24}").format(*head)]
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["schedule"], row["people"], row["episodes"]), []).append(row)
    for (schedule, people, episodes), found in groups.items():
        private = spread([row["auc_acceptance_private"] for row in found]).value
        without = spread([row["auc_acceptance_nonprivate"] for row in found]).value
        share = _together(found)
        told = f"{share.value:.3f} [{share.low:.3f}, {share.high:.3f}]"
        lines.append(
            f"{schedule:<10}{people:>10,}{episodes:>10}{found[0]['parameters']:>10,}{len(found):>10}"
            f"{private:>10.3f}{without:>10.3f}{told:>24}"
        )
    return "\n".join(lines)
