"""What serves a loop of a tenant at one moment: one immutable value, replaced as a whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from everloop.contracts.episodes import Arm
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.ports import Registry
from everloop.contracts.rollout_ports import DeploymentStore
from everloop.contracts.rollouts import Artefact, RolloutRecord, SafetyBreaker
from everloop.contracts.service_ports import JobStore
from everloop.serving.decisions.breaker import BreakerState
from everloop.serving.decisions.deployment import Deployed, read_deployed
from everloop.serving.decisions.exploration import enough_episodes
from everloop.serving.decisions.models import M, PatientModels, ServedModel
from everloop.serving.decisions.pairing import ServedPairing
from everloop.serving.decisions.question import Catalogue

_RECOUNT_SHARE = 0.01
"""The log is counted again once it has grown by this share: counting it costs, epsilon hardly moves."""
_MOST_PREDECESSORS = 3
"""How far back a stand-in is looked for."""


@dataclass(frozen=True, slots=True)
class Counted:
    """Episodes of a loop, counted up to ``most``, when the newest ingest number was ``last``."""

    episodes: int = 0
    last: int = -1


@dataclass(frozen=True, slots=True)
class Serving:
    """What decides now. Requests in flight keep the value that they began with.

    Attributes:
        active: the model of the alias ``active``; ``None`` where none is deployed or it did not load.
        standby: the newest predecessor that loads; stands in when ``active`` can't answer.
        candidate: the model on trial; ``None`` without a trial, for a voice's, or where it did not load.
        pairing: the pairing model; ``None`` where none is deployed or it did not load.
        candidate_pairing: the pairing model that the candidate's people get; ``None`` as above.
        epsilon: exploration share of models' decisions.
        active_problem, candidate_problem, pairing_problem, candidate_pairing_problem: why a model that
            should serve did not load.
        problem: why the deployments could not be read; what was known before goes on serving.
        unread: the deployments were never read, so nobody knows whether there is a model.
    """

    tenant: str
    catalogue: Catalogue
    epsilon: float
    deployed: Deployed = field(default_factory=Deployed)
    counted: Counted = field(default_factory=Counted)
    active: ServedModel | None = None
    standby: ServedModel | None = None
    candidate: ServedModel | None = None
    pairing: ServedPairing | None = None
    candidate_pairing: ServedPairing | None = None
    active_problem: str = ""
    candidate_problem: str = ""
    pairing_problem: str = ""
    candidate_pairing_problem: str = ""
    problem: str = ""
    unread: bool = False

    @property
    def rollout(self) -> RolloutRecord | None:
        return self.deployed.rollout

    @property
    def revision(self) -> int:
        """Of the head that this was built from: what is decided under it says so when it is stored."""
        return 0 if self.deployed.head is None else self.deployed.head.revision

    @property
    def trial_artefacts(self) -> tuple[Artefact, ...]:
        """The manifest on trial; empty without a trial, and for a trial of a policy alone."""
        return self.deployed.trial_artefacts

    @property
    def safety(self) -> SafetyBreaker:
        """The breaker of safety-critical actions."""
        head = self.deployed.head
        return SafetyBreaker() if head is None else head.breaker

    def pairing_for(self, arm: Arm) -> tuple[ServedPairing | None, bool]:
        """The pairing model that suggests people where an arm decides, and whether there should be one."""
        if arm is Arm.CANDIDATE:
            return self.candidate_pairing, self.deployed.trial_pairing is not None
        return self.pairing, self.deployed.pairing is not None


@dataclass(frozen=True, slots=True)
class EngineState:
    """What serves a loop of a tenant, for readiness and metrics.

    Attributes:
        active, candidate, standby: versions of the models that can answer; ``None``: there is none.
        pairing: version of the pairing model that scores candidates; ``None``: slates are uniform.
        active_checkpoint, candidate_checkpoint, pairing_checkpoint: checkpoints that *should* serve.
        generation: of the alias ``active``.
        rollout_id: the trial; ``None`` without one.
        traffic_percent: share of people who meet the candidate.
        epsilon: exploration share of models' decisions.
        episodes: logged episodes that it was computed from.
        open_breakers: versions of models that are left alone for now.
        degraded: what is wrong; empty when everything that should serve does.
        trial_state: the trial's; empty without one.
        safety_open: whether the safety breaker is open.
    """

    tenant: str
    loop: str
    active: str | None
    candidate: str | None
    standby: str | None
    active_checkpoint: str | None
    candidate_checkpoint: str | None
    generation: int
    rollout_id: str | None
    traffic_percent: float
    epsilon: float
    episodes: int
    open_breakers: tuple[str, ...] = ()
    degraded: str = ""
    pairing: str | None = None
    pairing_checkpoint: str | None = None
    trial_state: str = ""
    safety_open: bool = False


def state_of(serving: Serving) -> EngineState:
    """A serving value as others may see it."""
    models = (
        serving.active,
        serving.candidate,
        serving.standby,
        serving.pairing,
        serving.candidate_pairing,
    )
    open_now = (
        model.version
        for model in models
        if model is not None and model.breaker.state is not BreakerState.CLOSED
    )
    left_alone = tuple(dict.fromkeys(open_now))
    wrong = [
        serving.problem,
        serving.active_problem and f"active: {serving.active_problem}",
        serving.candidate_problem and f"candidate: {serving.candidate_problem}",
        serving.pairing_problem and f"pairing: {serving.pairing_problem}",
        serving.candidate_pairing_problem
        and f"candidate's pairing: {serving.candidate_pairing_problem}",
        *(f"{version} keeps failing and is left alone for a while." for version in left_alone),
    ]
    rollout = serving.rollout
    return EngineState(
        tenant=serving.tenant,
        loop=serving.catalogue.spec.name,
        active=_version(serving.active),
        candidate=_version(serving.candidate),
        standby=_version(serving.standby),
        active_checkpoint=serving.deployed.active,
        candidate_checkpoint=rollout.candidate if rollout else None,
        generation=serving.deployed.generation,
        rollout_id=rollout.rollout_id if rollout else None,
        traffic_percent=rollout.traffic_percent if rollout else 0.0,
        epsilon=serving.epsilon,
        episodes=serving.counted.episodes,
        open_breakers=left_alone,
        degraded=" ".join(reason for reason in wrong if reason),
        pairing=_version(serving.pairing),
        pairing_checkpoint=serving.deployed.pairing,
        trial_state=rollout.state if rollout else "",
        safety_open=serving.safety.open,
    )


def next_serving(
    known: Serving,
    models: PatientModels[ServedModel],
    pairings: PatientModels[ServedPairing],
    registry: Registry,
    deployments: DeploymentStore,
    jobs: JobStore,
) -> Serving:
    """What should serve now, built aside; ``known`` is what serves until then.

    A model that does not load is never part of it. Raises what the stores raise.
    """
    spec = known.catalogue.spec
    deployed = read_deployed(
        spec.name,
        known.tenant,
        registry,
        deployments,
        known.deployed,
        pairs=spec.candidates is not None,
    )
    if deployed.generation != known.deployed.generation:
        models.forget_failures()
    if deployed.pairing_generation != known.deployed.pairing_generation:
        pairings.forget_failures()
    active, active_problem = _loaded(deployed.active, models.get)
    standby = next(
        (
            model
            for model, _ in map(models.get, deployed.predecessors[:_MOST_PREDECESSORS])
            if model is not None
        ),
        None,
    )
    candidate, candidate_problem = _loaded(deployed.trial_policy, models.get)
    pairing, pairing_problem = _loaded(deployed.pairing, pairings.get)
    trial_pairing = deployed.trial_pairing if spec.candidates is not None else None
    candidate_pairing, candidate_pairing_problem = _loaded(trial_pairing, pairings.get)
    pairings.keep({name for name in (deployed.pairing, trial_pairing) if name})
    wanted = {deployed.active, deployed.trial_policy}
    models.keep({w for w in wanted if w} | set(deployed.predecessors[:_MOST_PREDECESSORS]))
    counted = count_episodes(known.counted, jobs, spec, known.tenant)
    return Serving(
        tenant=known.tenant,
        catalogue=known.catalogue,
        epsilon=spec.serving_epsilon(counted.episodes),
        deployed=deployed,
        counted=counted,
        active=active,
        standby=standby,
        candidate=candidate,
        pairing=pairing,
        candidate_pairing=candidate_pairing,
        active_problem=active_problem,
        candidate_problem=candidate_problem,
        pairing_problem=pairing_problem,
        candidate_pairing_problem=(
            candidate_pairing_problem if trial_pairing != deployed.pairing else ""
        ),
    )


def count_episodes(known: Counted, jobs: JobStore, spec: LoopSpec, tenant: str) -> Counted:
    """Logged episodes of the loop, counted anew only where that could change epsilon."""
    most = enough_episodes(spec)
    if known.episodes >= most:
        return known
    last = jobs.last_episode(tenant)
    if known.last >= 0 and last - known.last <= _RECOUNT_SHARE * known.episodes:
        return known
    return Counted(jobs.new_episodes(spec.name, 0, most, tenant), last)


def _loaded(
    checkpoint_id: str | None, get: Callable[[str], tuple[M | None, str]]
) -> tuple[M | None, str]:
    return (None, "") if checkpoint_id is None else get(checkpoint_id)


def _version(model: ServedModel | ServedPairing | None) -> str | None:
    return None if model is None else model.version
