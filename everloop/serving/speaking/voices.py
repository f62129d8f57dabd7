"""The voices of a service: each base in memory once, a loop's adapters hot-swapped as its head moves."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

from everloop.adaptation.training.best_of import Scorer
from everloop.contracts.episodes import Arm
from everloop.contracts.errors import (
    EverloopError,
    ShouldFixArgument,
    ShouldFixLoopSpec,
    ShouldRetryLater,
)
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.models import ModelType
from everloop.contracts.personas import PersonaGraph
from everloop.contracts.rollouts import ADAPTER
from everloop.contracts.sandboxes import VoiceConfiguration
from everloop.contracts.speaking import AdapterFolder, BaseFolder, OutputScreen
from everloop.contracts.voice_spec import VoiceSpec
from everloop.registry.loading import VerifiedModel
from everloop.sdk.spoken_graph import serving_model, spoken_graph
from everloop.serving.decisions.deployment import Deployed, read_deployed
from everloop.serving.speaking.batching import FollowedSpeaker, MicroBatcher
from everloop.serving.speaking.claims import Claims
from everloop.serving.speaking.deployed import ArmVoice, DeployedVoice, voice_of
from everloop.serving.speaking.once import Once
from everloop.serving.speaking.openings import Openings
from everloop.serving.speaking.publishing import Publishing, running_configuration
from everloop.serving.speaking.screening import ToxicityScreen
from everloop.settings import voice_cache
from everloop.speaking.base import prepared_base
from everloop.wiring import Workspace

BASE = "base"
"""Version of answers that no adapter made."""
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Speaks:
    """What answers one person: the loaded adapter ("" is the base alone) and the graph of the prompt.

    ``version``: of the adapter, as answers carry it; ``fallback``: why the candidate's people hear the
    active voice. ``scorer``: the adapter's reward model, which takes one of ``best_of`` answers; None where
    the first one is it. ``lease``: keeps the adapter answerable until this is let go of.
    """

    arm: Arm
    rollout_id: str
    adapter: str = ""
    version: str = BASE
    graph: PersonaGraph = field(default_factory=lambda: PersonaGraph(""))
    fallback: str = ""
    scorer: Scorer | None = None
    best_of: int = 1
    lease: object = field(default=None, compare=False, repr=False)


class ServedSpeaker(FollowedSpeaker, Protocol):
    """What answers on one base, with adapters that come and go."""

    @property
    def base(self) -> BaseFolder: ...

    def load(self, adapter: AdapterFolder) -> None: ...

    def lease(self, version: str) -> object: ...

    def unload(self, version: str) -> None: ...


@dataclass(slots=True)
class _Host:
    """What answers for one loop; loops on one base share engine and batcher. ``configuration``: what is
    said of it, if anything.

    ``lock`` is held while adapters come, go and are leased, and guards the rest. ``versions``: loaded
    checkpoint -> its version; ``scorers``: -> its reward model, where it has one that is used; ``wanted``:
    tenant -> the head's revision and the checkpoints that it names.
    """

    engine: ServedSpeaker
    batcher: MicroBatcher
    screen: OutputScreen
    configuration: VoiceConfiguration | None
    lock: threading.Lock = field(default_factory=threading.Lock)
    versions: dict[str, str] = field(default_factory=dict)
    scorers: dict[str, Scorer] = field(default_factory=dict)
    wanted: dict[str, tuple[int, frozenset[str]]] = field(default_factory=dict)

    def all_wanted(self) -> frozenset[str]:
        """Checkpoints that some tenant's head names."""
        return frozenset().union(*(checkpoints for _, checkpoints in self.wanted.values()))


class Voices:
    """Opens a voice with its first question, and follows the heads of its loops. Thread-safe.

    Args:
        workspace: where checkpoints, heads and persona graphs are.
        engine: opens the base of a voice; the workspace's prepared one by default.
        screen: makes the last screen of a voice.
        configuration: what a loop's voice speaks with on its base, to be said in the workspace; by default
            that of our own engine, and nothing of any other.
    """

    def __init__(
        self,
        workspace: Workspace,
        engine: Callable[[VoiceSpec], ServedSpeaker] | None = None,
        screen: Callable[[VoiceSpec], OutputScreen] | None = None,
        configuration: Callable[[LoopSpec, BaseFolder], VoiceConfiguration] | None = None,
    ) -> None:
        self._workspace = workspace
        self._engine = engine or self._prepared
        self._screen = screen or _screen_of
        self._configuration = configuration or (None if engine else running_configuration)
        self._publishing = Publishing(workspace.voices)
        self.claims = Claims()
        """Questions that are being answered."""
        self.openings = Openings()
        """Where questions are begun."""
        self._lock = threading.Lock()
        """Of the dictionaries below alone: nothing is opened, read or loaded under it."""
        self._hosts: dict[str, Once[_Host]] = {}
        self._engines: dict[str, Once[ServedSpeaker]] = {}
        self._batchers: dict[int, MicroBatcher] = {}
        self._deployed: dict[tuple[str, str], Deployed] = {}

    def __enter__(self) -> Voices:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End every voice, and say so; what is being answered is cut off."""
        self.openings.close()
        with self._lock:
            batchers = list(self._batchers.values())
            for kept in (self._hosts, self._engines, self._batchers):
                kept.clear()
        for batcher in batchers:
            batcher.close()
        self._publishing.close()

    def spec(self, loop: LoopSpec) -> VoiceSpec:
        """The loop's voice.

        Raises:
            ShouldRetryLater: it has none.
        """
        if loop.voice is None:
            raise ShouldRetryLater(
                f"Loop {loop.name!r} has no voice.", "Give its specification a section voice."
            )
        return loop.voice

    def batcher(self, loop: LoopSpec) -> MicroBatcher:
        """Where a loop's questions go; opened where it is not. Blocks while it loads."""
        return self._host(loop).batcher

    def screen(self, loop: LoopSpec) -> OutputScreen:
        """The last look at a loop's answers."""
        return self._host(loop).screen

    def speaks(self, loop: LoopSpec, tenant: str, user_id: str) -> Speaks:
        """What answers a person now, loaded. Reads the head, and what moved since; blocks while it does.

        Args:
            user_id: pseudonym.

        Raises:
            ShouldRestoreArtefact, ShouldFixArgument: what serves is damaged, or may not serve.
            ShouldRetryLater: there is no voice, or its base is not prepared.
        """
        host = self._host(loop)
        if host.configuration is not None:
            self._publishing.say(loop.name, tenant, host.configuration)
        deployed = self._read(loop, tenant)
        self._keep(tenant, deployed, host)
        arm = deployed.arm(user_id)
        trial = "" if deployed.trial is None else deployed.trial.rollout_id
        try:
            return self._of(loop, tenant, user_id, host, Speaks(arm, trial), deployed.voice(arm))
        except EverloopError as problem:
            if arm is not Arm.CANDIDATE:
                raise
            _LOG.warning("The candidate's voice of %s cannot speak: %s", loop.name, problem.message)
        # The arm on record is the one that really answers.
        other = Speaks(Arm.ACTIVE, trial, fallback="candidate_failed")
        return self._of(loop, tenant, user_id, host, other, deployed.active)

    def _of(
        self,
        loop: LoopSpec,
        tenant: str,
        user_id: str,
        host: _Host,
        known: Speaks,
        voice: ArmVoice,
    ) -> Speaks:
        graph = spoken_graph(self._workspace, loop, tenant, user_id, voice.prompt)
        if voice.adapter is None:
            return replace(known, graph=graph)
        with host.lock:
            # Leased before anybody else's newer head can have it unloaded.
            version = self._load(loop, tenant, voice.adapter, host)
            lease = host.engine.lease(voice.adapter)
            scorer = host.scorers.get(voice.adapter)
            if voice.adapter not in host.all_wanted():
                _unload(host, voice.adapter)  # of a head that has moved: for this question alone
        return replace(
            known,
            adapter=voice.adapter,
            version=version,
            graph=graph,
            scorer=scorer,
            best_of=1 if scorer is None else self.spec(loop).reward_model.best_of,
            lease=lease,
        )

    def _read(self, loop: LoopSpec, tenant: str) -> DeployedVoice:
        known = self._deployed.get((tenant, loop.name), Deployed())
        found = read_deployed(
            loop.name, tenant, self._workspace.registry, self._workspace.deployments, known
        )
        self._deployed[tenant, loop.name] = found
        return voice_of(found)

    @staticmethod
    def _keep(tenant: str, deployed: DeployedVoice, host: _Host) -> None:
        """Unload what no tenant of this loop wants any more; who was given it keeps it until answered."""
        now = (deployed.revision, deployed.checkpoints)
        if host.wanted.get(tenant) == now:
            return
        with host.lock:
            if tenant in host.wanted and host.wanted[tenant][0] > deployed.revision:
                return  # another thread has read a newer head meanwhile
            host.wanted[tenant] = now
            for checkpoint in host.versions.keys() - host.all_wanted():
                _unload(host, checkpoint)

    def _load(self, loop: LoopSpec, tenant: str, checkpoint: str, host: _Host) -> str:
        """The version that an adapter's answers carry; loaded under its checkpoint's id. Its caller holds
        the host's lock."""
        if checkpoint in host.versions:
            return host.versions[checkpoint]
        from everloop.speaking.adapters import (  # noqa: PLC0415  # loads torch
            require_base,
            unpack_adapter,
        )

        found = serving_model(self._workspace, loop, tenant, checkpoint, ModelType.ADAPTER, ADAPTER)
        base, cache = host.engine.base, voice_cache(self._workspace.home) / "adapters"
        require_base(found.checkpoint, base)
        host.engine.load(unpack_adapter(found.files, base, checkpoint, cache))
        version = found.checkpoint.lineage.get("version") or checkpoint
        if self.spec(loop).reward_model.best_of > 1:
            self._load_scorer(found, checkpoint, host)
        host.versions[checkpoint] = version
        return version

    def _load_scorer(self, found: VerifiedModel, checkpoint: str, host: _Host) -> None:
        """The reward model that is registered with an adapter, if any: a second copy of the base."""
        from everloop.adaptation.training.reward_weights import (  # noqa: PLC0415  # loads torch
            SCORER_LINEAGE,
            unpack_scorer,
        )

        sha256 = found.checkpoint.lineage.get(SCORER_LINEAGE)
        if sha256 is not None:
            cache = voice_cache(self._workspace.home) / "reward_models"
            host.scorers[checkpoint] = unpack_scorer(found.files, host.engine.base, sha256, cache)

    def _host(self, loop: LoopSpec) -> _Host:
        with self._lock:
            opening = self._hosts.setdefault(loop.name, Once())
        return opening.opened(lambda: self._opened(loop))

    def _opened(self, loop: LoopSpec) -> _Host:
        spec = self.spec(loop)
        try:
            engine = self._engine(spec)
            told = self._configuration
            known = None if told is None else told(loop, engine.base)
            screen = self._screen(spec)
            with self._lock:
                batcher = self._batchers.get(id(engine)) or MicroBatcher(engine)
                self._batchers[id(engine)] = batcher
            return _Host(engine, batcher, screen, known)
        except (ShouldFixLoopSpec, ShouldFixArgument) as problem:
            raise ShouldRetryLater(
                f"The voice of loop {loop.name!r} cannot be opened: {problem.message}",
                problem.remedy,
                retry_after=60.0,
            ) from problem
        except ImportError as problem:
            raise ShouldRetryLater(
                f"What a voice needs is not installed ({problem}).",
                "Install everloop with the extra voice.",
                retry_after=60.0,
            ) from problem

    def _prepared(self, spec: VoiceSpec) -> ServedSpeaker:
        base = prepared_base(spec.base, voice_cache(self._workspace.home) / "bases")
        if base is None:
            raise ShouldRetryLater(
                f"The base {spec.base.name} is not prepared.",
                "Run `everloop voice prepare`.",
                retry_after=60.0,
            )
        from everloop.speaking.engine import Engine  # noqa: PLC0415  # loads torch

        with self._lock:
            opening = self._engines.setdefault(base.sha256, Once())
        return opening.opened(lambda: Engine(base))


def _unload(host: _Host, checkpoint: str) -> None:
    host.engine.unload(checkpoint)
    host.versions.pop(checkpoint, None)
    host.scorers.pop(checkpoint, None)


def _screen_of(spec: VoiceSpec) -> OutputScreen:
    from everloop.adaptation.screens.toxicity import ProfanityScorer  # noqa: PLC0415  # its model

    return ToxicityScreen(ProfanityScorer(), spec.data.max_toxicity)
