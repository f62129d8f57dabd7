"""A trial as arrays: who was in which arm when, and what came of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from components._evaluation import candidates_so_far, logged_so_far, protected_groups
from everloop.contracts.datasets import DatasetManifest, DatasetVersion, EncodedEpisodes, Float
from everloop.contracts.documents import read, write
from everloop.contracts.encoded_file import load_encoded
from everloop.contracts.episodes import Arm
from everloop.contracts.errors import ShouldRestoreArtefact
from everloop.contracts.evaluation import Verdict
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.oversight import ReviewState
from everloop.contracts.policy_learning import DEFAULT_LEARNER
from everloop.contracts.rollouts import ExperimentFigures, RolloutRecord, TrialVerdict
from everloop.contracts.watching import Look, WatchOutcome
from everloop.gates.decide import decide
from everloop.gates.evidence import GateEvidence
from everloop.gates.fairness import FairnessCheck
from everloop.gates.non_inferiority import NonInferiorityCheck
from everloop.gates.overlap import OverlapCheck
from everloop.registry.loading import load, load_alias
from everloop.rewards.holding import reviews_of
from everloop.rollout.assignment import arms_of, expected_share
from everloop.rollout.control import CONTROLLER, act
from everloop.rollout.experiment.analyse import analyse, primary_of
from everloop.rollout.experiment.observations import TrialObservations
from everloop.rollout.reconsider import reconsidered
from everloop.rollout.settle import needs_a_new_look
from everloop.wiring import Workspace
from rl.off_policy.compare import Entrant, compare
from rl.off_policy.evaluate import HeldOut
from rl.runtime import load_policy

TRIAL, FIGURES, LOOKS = "trial.json", "figures.json", "looks.json"
OFF_POLICY = (NonInferiorityCheck(), OverlapCheck(), FairnessCheck())
"""What is asked of a candidate again where another model became active while it waited."""


def measure(
    spec: LoopSpec,
    workspace: Workspace,
    tenant: str,
    artefacts: tuple[Any, ...],
    now: datetime,
    out: Path,
) -> tuple[RolloutRecord | None, ExperimentFigures | None]:
    """Measure the live trial with what is known by now, into the folder ``out``.

    ``artefacts``: dataset, rewards, episodes.
    """
    dataset, rewards, episodes = artefacts
    out.mkdir(parents=True, exist_ok=True)
    record = workspace.deployments.head(spec.name, tenant).trial
    if record is None:
        return None, None
    write(record, out / TRIAL)
    if record.started_at is None:
        return record, None
    manifest = read(DatasetManifest, dataset.path)
    version = workspace.datasets.open(manifest.dataset_id)
    encoded = load_encoded(episodes.path)
    flagged, rejected = marks_of(encoded, _column(_table(rewards), "held", encoded), version)
    found = observations_of(
        spec,
        record,
        encoded,
        _column(version.episodes_path, "arm", encoded),
        _column(_table(rewards), "closed", encoded),
        flagged,
        rejected,
    )
    until = min(now, manifest.known_until)
    figures = analyse(spec, record, found, until)
    write(figures, out / FIGURES)
    write(_looks(spec, record, found, figures), out / LOOKS, tuple[Look, ...])
    return record, figures


def _looks(
    spec: LoopSpec, record: RolloutRecord, found: TrialObservations, last: ExperimentFigures
) -> tuple[Look, ...]:
    """What was known of the effect at the end of each day of the trial, and is now."""
    begun = record.started_at or last.until
    midnight = datetime.combine(begun.astimezone(UTC).date(), time(), tzinfo=UTC)
    days = (last.until - midnight) // timedelta(days=1)
    ends = [midnight + timedelta(days=day + 1) for day in range(days)]
    earlier = (Look(end, primary_of(spec, found, end)) for end in ends)
    return (*earlier, Look(last.until, last.primary))


def observations_of(
    spec: LoopSpec,
    record: RolloutRecord,
    episodes: EncodedEpisodes,
    logged_arm: NDArray[np.str_],
    closed: NDArray[np.bool_],
    flagged: NDArray[np.bool_] | None = None,
    rejected: NDArray[np.bool_] | None = None,
) -> TrialObservations:
    """The closed decisions of a trial, each person in the arm that the hash says at that moment's traffic.

    Who was held out of every trial is control. A person of the candidate's whose decision was logged under
    another arm had something else decide for them: it counts for the candidate, as a fallback. Decisions
    of policies outside the loop are none of the trial's. Strange decisions are: what makes them strange
    may be the candidate.

    Args:
        logged_arm: (n,) the arm that each decision was logged under.
        closed: (n,) whether nothing can come of it any more.
        flagged: (n,) whether it was ever found strange.
        rejected: (n,) whether a person rejected it, so that it has no reward.
    """
    percent = percents_of(record, episodes.timestamp)
    rows = (percent > 0.0) & closed & ~episodes.comparison
    people, person = np.unique(episodes.person[rows], return_inverse=True)
    by_hash = arms_of(episodes.people[episodes.person[rows]].tolist(), record, percent[rows])
    candidate = by_hash == Arm.CANDIDATE.value
    groups = protected_groups(spec, episodes)
    return TrialObservations(
        person=person.astype(np.int64),
        timestamp=_moments(episodes.timestamp[rows]),
        arm=candidate.astype(np.int8),
        percent=percent[rows],
        reward=episodes.reward[rows],
        signals=episodes.signals[rows],
        signal_names=spec.signal_names,
        before=_before(record, episodes)[people],
        shares={p: expected_share(record, p) for p in set(percent[rows].tolist())},
        segments={name: labels[rows] for name, labels in groups.items()},
        fallback=candidate & (logged_arm[rows] != Arm.CANDIDATE.value),
        flagged=None if flagged is None else flagged[rows],
        rejected=None if rejected is None else rejected[rows],
    )


def marks_of(
    episodes: EncodedEpisodes, held: NDArray[np.bool_], version: DatasetVersion
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """(n,) which episodes were ever found strange, and (n,) which of them a person rejected.

    Args:
        held: (n,) which ones wait for a person, or were rejected by one.
        version: the dataset version, which says what people had said.
    """
    reviews = reviews_of(version)
    looked_at = [episode_id for episode_id, _ in reviews]
    rejected = [one for (one, _), state in reviews.items() if state is ReviewState.REJECTED]
    return held | _among(episodes, looked_at), _among(episodes, rejected)


def _among(episodes: EncodedEpisodes, ids: list[str]) -> NDArray[np.bool_]:
    return np.isin(episodes.episode_id, np.array(ids, dtype=np.str_))


def percents_of(record: RolloutRecord, seconds: Float) -> Float:
    """(n,) share of people who met the candidate at n moments (seconds since the epoch), in percent."""
    entered = np.array([stay.entered_at.timestamp() for stay in record.history])
    percents = np.array([0.0, *(stay.traffic_percent for stay in record.history)])
    found: Float = percents[np.searchsorted(entered, seconds, side="right")]
    return found


def act_on(
    spec: LoopSpec,
    workspace: Workspace,
    tenant: str,
    logical_date: str,
    artefacts: tuple[Any, ...],
    now: datetime,
) -> WatchOutcome:
    """Decide about the trial and do it; with nothing on trial, look anew at who waits.

    ``artefacts``: dataset, rewards, episodes, measure.
    """
    dataset, rewards, episodes, measured = artefacts
    figures = Path(measured.path) / FIGURES
    known = read(ExperimentFigures, figures) if figures.exists() else None
    before = workspace.deployments.head(spec.name, tenant).trial
    verdict = act(spec, workspace, now, known, CONTROLLER, tenant)
    looked: RolloutRecord | None = needs_a_new_look(workspace, spec.name, tenant)
    if looked is not None:
        manifest = read(DatasetManifest, dataset.path)
        logged = load_encoded(episodes.path)
        # the gate judges by nothing that waits for a person
        logged = logged.where(~_column(_table(rewards), "held", logged))
        answer = _look_anew(spec, workspace, looked, manifest, logged, logical_date, now)
        looked = reconsidered(spec, workspace, looked, answer, now, CONTROLLER)
    looks = Path(measured.path) / LOOKS
    outcome = outcome_of(spec, workspace, tenant, before, verdict, looked, now)
    return replace(outcome, looks=read(tuple[Look, ...], looks) if looks.exists() else ())


def outcome_of(
    spec: LoopSpec,
    workspace: Workspace,
    tenant: str,
    before: RolloutRecord | None,
    verdict: TrialVerdict | None,
    looked: RolloutRecord | None,
    now: datetime,
) -> WatchOutcome:
    """What a run of the watch came to, with the trial as it stands and what happened to it."""
    shown = before or looked or workspace.deployments.head(spec.name, tenant).trial
    record = None if shown is None else workspace.rollouts.rollout(shown.rollout_id, tenant)
    kept = workspace.deployments.events(spec.name, 0, 1000, tenant)
    return WatchOutcome(
        loop=spec.name,
        at=now,
        verdict=verdict,
        trial=record,
        reconsidered=looked,
        events=tuple(e for e in kept if record and e.rollout_id == record.rollout_id),
        tallies=()
        if record is None
        else tuple(
            tally
            for phase in ("shadow", "trial")
            for tally in workspace.tallies.tallies(record.rollout_id, phase, tenant)
        ),
    )


def _look_anew(
    spec: LoopSpec,
    workspace: Workspace,
    record: RolloutRecord,
    manifest: DatasetManifest,
    episodes: EncodedEpisodes,
    logical_date: str,
    now: datetime,
) -> Verdict:
    """The off-policy part of the gate, against what serves by now."""
    model = load(record.candidate, workspace.registry, workspace.blobs)
    serving = load_alias(spec.name, workspace.registry, workspace.blobs, tenant=record.tenant)
    active = None
    if serving is not None:
        active = load_policy(serving.weights, serving.checkpoint.weights_sha256, spec)
    row = model.checkpoint
    policy = load_policy(model.weights, row.weights_sha256, spec)
    judging = HeldOut(
        spec,
        episodes,
        active,
        candidates=candidates_so_far(
            workspace, spec, record.tenant, date.fromisoformat(logical_date), {policy.version}
        ),
        groups=protected_groups(spec, episodes),
        logged=logged_so_far(workspace, spec, manifest),
    )
    learner = row.lineage.get("learner", DEFAULT_LEARNER)
    found = compare(judging, [Entrant(learner, policy, row.provenance)]).best.evaluation
    evidence = GateEvidence(
        provenance=row.provenance,
        evaluation=found,
        policy_sha256=row.weights_sha256,
        active=None if serving is None else serving.checkpoint,
        now=now,
        inputs={"dataset": manifest.dataset_id, "policy": row.weights_sha256},
    )
    return decide(spec, evidence, OFF_POLICY)


def _before(record: RolloutRecord, episodes: EncodedEpisodes) -> Float:
    """(P,) mean reward of each person before anybody met the candidate; NaN without any."""
    met = record.started_at
    earlier = np.isfinite(episodes.reward) & ~episodes.comparison
    earlier &= episodes.timestamp < (-np.inf if met is None else met.timestamp())
    size = len(episodes.people)
    total = np.bincount(episodes.person[earlier], episodes.reward[earlier], minlength=size)
    count = np.bincount(episodes.person[earlier], minlength=size)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _table(rewards: Any) -> Path:
    return Path(rewards.path) / "rewards.parquet"


def _column(path: Path, name: str, episodes: EncodedEpisodes) -> NDArray[Any]:
    """A column of a table by episode, in the order of the encoded ones."""
    table = pq.read_table(path, columns=["episode_id", name])
    ids = table["episode_id"].to_numpy(zero_copy_only=False).astype(np.str_)
    order = np.argsort(ids)
    if not len(ids):
        return np.asarray(table[name].to_numpy(zero_copy_only=False))
    places = np.minimum(np.searchsorted(ids, episodes.episode_id, sorter=order), len(ids) - 1)
    found = order[places]
    if not (ids[found] == episodes.episode_id).all():
        raise ShouldRestoreArtefact(
            f"{path} lacks episodes of the encoded dataset.", "Rerun the stage that writes it."
        )
    values = table[name].to_numpy(zero_copy_only=False)[found]
    return values.astype(np.str_) if values.dtype == object else np.asarray(values)


def _moments(seconds: Float) -> NDArray[np.datetime64]:
    return np.round(seconds * 1e6).astype("datetime64[us]")
