"""A voice's private training as a release: paid for before its first gradient, made once."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from everloop.adaptation.training.private import (
    PrivateTerms,
    PrivateTraining,
    train_privately,
    with_counts,
)
from everloop.adaptation.training.private_release import released_file, restored
from everloop.adaptation.training.progress import Progress
from everloop.contracts.documents import sha256_of
from everloop.contracts.episodes import canonical_json
from everloop.contracts.errors import ShouldCollectMoreData
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.models import ModelType, Provenance
from everloop.contracts.ports import Reservation
from everloop.contracts.privacy import Mechanism, ReleaseRequest, mechanism_from
from everloop.contracts.speaking import AdapterFolder, BaseFolder
from everloop.contracts.voice_spec import VoiceSpec
from everloop.contracts.voices import AdapterFigures, LearningTask, TrainingDataInstance
from everloop.loops.sections import voice_of
from everloop.privacy.voice_terms import epsilon_of_mechanism, voice_mechanism
from everloop.registry.loading import active_alias
from everloop.wiring import Workspace
from synthetic.noise import SealedNoise

STAGE = "adapter"


def private_training(
    spec: LoopSpec,
    workspace: Workspace,
    run: tuple[str, str, str],
    data: Path,
    placebo: bool,
) -> PrivateTraining | None:
    """How the voice trains privately; None where its specification asks for no privacy.

    Args:
        run: logical date, tenant, code.
        data: the file or folder that it learns from, which the release is bound to.
        placebo: the same training for nobody: noise of no secret, and nothing charged.
    """
    if voice_of(spec).privacy.epsilon is None:
        return None
    logical_date, tenant, _ = run
    return _Ledgered(spec, workspace, logical_date, tenant, sha256_of(data), placebo)


def may_go_on(spec: LoopSpec, workspace: Workspace, tenant: str) -> bool:
    """Whether a training may begin where the adapter that serves is: a private one only where that is
    itself a release; another one would bring texts along."""
    if voice_of(spec).privacy.epsilon is None:
        return True
    found, _ = workspace.registry.alias(spec.name, active_alias(ModelType.ADAPTER), tenant)
    if found is None:
        return False
    return workspace.registry.checkpoint(found).provenance is Provenance.PRIVATE_RELEASE


@dataclass(frozen=True)
class _Ledgered:
    spec: LoopSpec
    workspace: Workspace
    logical_date: str
    tenant: str
    dataset_id: str
    placebo: bool

    def __call__(
        self,
        base: BaseFolder,
        spec: VoiceSpec,
        instances: Sequence[TrainingDataInstance],
        out: Path,
        seed: int,
        start_from: AdapterFolder | None,
        on_progress: Progress,
    ) -> tuple[AdapterFolder, AdapterFigures]:
        people = tuple(
            sorted(
                {
                    instance.user_id
                    for instance in instances
                    if instance.task is LearningTask.SFT and instance.user_id is not None
                }
            )
        )
        start = start_from if may_go_on(self.spec, self.workspace, self.tenant) else None
        mechanism = voice_mechanism(spec.privacy)
        told = self._configuration(base, spec, seed, start)
        if self.placebo:
            noise = SealedNoise(hashlib.sha256(self.dataset_id.encode()).digest(), "placebo")
            admitted = self._admitted(mechanism, people, told)
            terms = self._terms(spec, mechanism, admitted, noise, "")
            return train_privately(base, spec, instances, terms, out, seed, start, on_progress)
        reservation = self._reserved(mechanism, people, told)
        paid, admitted = mechanism_from(reservation.row.mechanism), reservation.admitted
        if reservation.stored_url is not None and reservation.stored_sha256 is not None:
            stored = self.workspace.blobs.fetch(reservation.stored_url, reservation.stored_sha256)
            adapter, figures = restored(stored, base, out)
            return adapter, with_counts(figures, base, spec, instances, paid, admitted)
        noise = SealedNoise(reservation.noise_seed, STAGE)
        terms = self._terms(spec, paid, admitted, noise, reservation.release_id)
        adapter, figures = train_privately(
            base, spec, instances, terms, out, seed, start, on_progress
        )
        file = released_file(adapter, figures, out.parent / f"{out.name}.release")
        self.workspace.ledger.complete(reservation.release_id, *self.workspace.blobs.put(file))
        return adapter, figures

    def _terms(
        self,
        spec: VoiceSpec,
        mechanism: Mechanism,
        people: tuple[str, ...],
        noise: SealedNoise,
        release_id: str,
    ) -> PrivateTerms:
        return PrivateTerms(
            mechanism=mechanism,
            people=people,
            people_expected=self.spec.privacy.people_expected,
            noise=noise,
            epsilon=epsilon_of_mechanism(mechanism, spec.privacy.delta),
            delta=spec.privacy.delta,
            release_id=release_id,
        )

    def _admitted(
        self, mechanism: Mechanism, people: tuple[str, ...], configuration: str
    ) -> tuple[str, ...]:
        """Whom the candidate of this date learned from; everyone where nothing was reserved, since a
        placebo is never charged."""
        request = self._request(mechanism, configuration)
        slot = (request.pipeline, request.logical_date, request.stage)
        rows = self.workspace.ledger.history()
        if not any((row.pipeline, row.logical_date, row.stage) == slot for row in rows):
            return people
        return self._reserved(mechanism, people, configuration).admitted

    def _reserved(
        self, mechanism: Mechanism, people: tuple[str, ...], configuration: str
    ) -> Reservation:
        needed = self.spec.privacy.min_people
        if len(people) < needed:
            raise ShouldCollectMoreData(
                f"{len(people)} people have texts to learn from privately, fewer than {needed}.",
                "Collect more, lower privacy.min_people, or train without voice.privacy.epsilon.",
            )
        request = self._request(mechanism, configuration)
        return self.workspace.ledger.reserve(request, people, self.spec, needed)

    def _request(self, mechanism: Mechanism, configuration: str) -> ReleaseRequest:
        return ReleaseRequest(
            pipeline=f"{self.spec.name}/{self.tenant}",
            logical_date=date.fromisoformat(self.logical_date),
            stage=STAGE,
            configuration_sha256=configuration,
            dataset_id=self.dataset_id,
            mechanism=mechanism,
        )

    def _configuration(
        self, base: BaseFolder, spec: VoiceSpec, seed: int, start: AdapterFolder | None
    ) -> str:
        """SHA-256 of everything that decides what is released."""
        told = [
            base.sha256,
            spec.privacy.model_dump(mode="json"),
            spec.lora.model_dump(mode="json"),
            spec.phases.max_length,
            spec.phases.warmup_ratio,
            self.spec.privacy.people_expected,
            seed,
            "" if start is None else start.sha256,
        ]
        return hashlib.sha256(canonical_json(told).encode()).hexdigest()
