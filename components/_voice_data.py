"""From a collection to examples, to what they are worth, and to what the prompt may show at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path

from components._voice_models import base_of, speaker_with
from components._voice_persona import persona_of
from components._voice_rows import taught_to
from everloop.adaptation.building import FIGURES_FILE, TRAIN_FILE, Fits, build
from everloop.adaptation.category_classifier import installed_classifier
from everloop.adaptation.collected import read_collected
from everloop.adaptation.corpora.streaming import stream
from everloop.adaptation.failures import answers_that_judge, said_by
from everloop.adaptation.fitting import fits_in
from everloop.adaptation.instance_file import read_instances
from everloop.adaptation.judged import TRAINS
from everloop.adaptation.near_duplicates import NearDuplicates
from everloop.adaptation.own import golden_set
from everloop.adaptation.screens.screen import VoiceScreen
from everloop.adaptation.strategy import choose
from everloop.adaptation.taught import Taught
from everloop.adaptation.volume import volume_of
from everloop.contracts.documents import read
from everloop.contracts.feedback import FeedbackType
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.models import Provenance
from everloop.contracts.personas import PersonaGraph
from everloop.contracts.voice_ports import SpokenFeedback
from everloop.contracts.voice_spec import VoiceSpec
from everloop.contracts.voices import (
    DataFigures,
    Message,
    ModelVersion,
    StrategyChoice,
    TrainingDataInstance,
    VersionStatus,
)
from everloop.loops.sections import voice_of
from everloop.persona.graph import first_graph, graph_of
from everloop.persona.prompt import prompt_of
from everloop.registry.voice_status import follow_head, of_loop
from everloop.sandbox.choosing import scenarios_of
from everloop.wiring import Workspace

_SEED = 11
_GOLDEN = "perplexity_candidate"
_REMEMBERED = 3
"""Newest versions whose failures in the sandbox teach."""


def build_data(
    spec: LoopSpec, workspace: Workspace, tenant: str, collection: Path, out: Path
) -> DataFigures:
    """Write the examples of a collection and of the voice's corpora.

    The base is loaded only where there are so few corrections that it paraphrases them; its tokenizer tells
    what is too long.
    """
    voice, collected = voice_of(spec), read_collected(collection)
    corrections = collected.figures.feedback.get(FeedbackType.CORRECTION.value, 0)
    scarce = 0 < corrections < voice.data.augment_below
    return build(
        voice,
        collected,
        corpora=chain(
            failures_to_learn(voice, workspace, tenant),
            chain.from_iterable(stream(c, _SEED, tenant) for c in voice.data.corpora),
        ),
        screen=VoiceScreen(voice.data),
        near_duplicates=NearDuplicates(voice.data.near_duplicate_jaccard),
        speaker=speaker_with(base_of(spec, workspace)) if scarce else None,
        seed=_SEED,
        out=out,
        render=_system_turn(spec, collection),
        fits=_fits(spec, workspace),
        unlearned=chain(golden_set(), answers_that_judge(scenarios_of(voice, _SEED), tenant)),
        classifier=installed_classifier() if voice.data.classify_at_most else None,
        taught=_taught(spec, workspace, tenant),
    )


def _fits(spec: LoopSpec, workspace: Workspace) -> Fits:
    """``fits_in`` the loop's base, which is opened for the first example."""
    told: list[Fits] = []

    def fits(instance: TrainingDataInstance) -> bool:
        if not told:
            told.append(fits_in(base_of(spec, workspace), voice_of(spec)))
        return told[0](instance)

    return fits


def failures_of(voice: VoiceSpec) -> str:
    """Under which name what failed in sandboxes is kept, to be learned from the next time."""
    return f"sandbox/{voice.persona}"


def failures_to_learn(
    voice: VoiceSpec, workspace: Workspace, tenant: str
) -> Iterator[TrainingDataInstance]:
    """What the newest versions failed in sandboxes; nothing of a version that is to forget, nor, where the
    voice trains privately, of one that is no private release: its words may be anybody's."""
    speakers: set[str] = set()
    versions = workspace.voices.versions(voice.persona, tenant=tenant, references=False)
    for version in versions[:_REMEMBERED]:
        checkpoint = workspace.registry.checkpoint(version.model_id)
        released = checkpoint.provenance is Provenance.PRIVATE_RELEASE
        if not version.forgets and (released or voice.privacy.epsilon is None):
            speakers.add(checkpoint.lineage["version"])
    for instance in workspace.voices.instances(failures_of(voice), tenant):
        if f"{voice.persona}-{said_by(instance)[:16]}" in speakers:
            yield instance


def choose_for(
    spec: LoopSpec, workspace: Workspace, tenant: str, collection: Path, data: Path
) -> StrategyChoice:
    """Which ways of learning the examples are worth."""
    voice, collected = voice_of(spec), read_collected(collection)
    taught, versions = _taught(spec, workspace, tenant), _versions(spec, workspace, tenant)
    active = next((v for v in versions if v.status is VersionStatus.ACTIVE), None)
    figures = read(DataFigures, data / FIGURES_FILE)
    # Who judges must not decide how much is learned.
    judges = collected.judges(voice.data.held_out_share)
    volume = volume_of(
        read_instances(data / TRAIN_FILE),
        (spoken for spoken in collected.feedback() if not judges(spoken.feedback.user_id)),
        (package for package in collected.packages() if not judges(package.user_id)),
        workspace.voices.learned_until(voice.persona, tenant),
        _golden_drop(versions, active),
        0 if active is None else active.forgets,
        taught,
        figures.undrawn,
        figures.unseen,
    )
    return choose(voice, volume)


def _versions(spec: LoopSpec, workspace: Workspace, tenant: str) -> tuple[ModelVersion, ...]:
    """The loop's versions of the persona, newest first, each with the status that it has by now."""
    persona, registry = voice_of(spec).persona, workspace.registry
    head = workspace.deployments.head(spec.name, tenant)
    tried = workspace.rollouts.rollouts(spec.name, tenant)
    follow_head(workspace.voices, persona, head, tried, registry)
    found = workspace.voices.versions(persona, tenant=tenant, references=False)
    return of_loop(found, spec.name, registry)


def _taught(spec: LoopSpec, workspace: Workspace, tenant: str) -> Taught:
    """What need not be learned: the newest version that serves or may serve did; nothing where it begins
    anew, since it is to forget somebody. As ``VoiceStore.learned_until`` tells the time."""
    archived = VersionStatus.ARCHIVED
    versions = _versions(spec, workspace, tenant)
    newest = next((each for each in versions if each.status is not archived), None)
    if newest is None or newest.forgets:
        return Taught()
    return taught_to(workspace, voice_of(spec).persona, newest.model_id, tenant)


def trains_an_adapter(choice: StrategyChoice) -> bool:
    """Whether one of the chosen ways changes the adapter."""
    return bool(TRAINS.intersection(choice.chosen))


def _golden_drop(versions: tuple[ModelVersion, ...], active: ModelVersion | None) -> float | None:
    """How much likelier the first version found the golden set than the active one, nats a token."""
    known = sorted(
        (v for v in versions if v.performance_metrics.get(_GOLDEN, 0.0) > 0.0),
        key=lambda version: version.version_number,
    )
    if active is None or not known or active.performance_metrics.get(_GOLDEN, 0.0) <= 0.0:
        return None
    return math.log(active.performance_metrics[_GOLDEN] / known[0].performance_metrics[_GOLDEN])


def _system_turn(
    spec: LoopSpec, collection: Path
) -> Callable[[SpokenFeedback], tuple[Message, ...]]:
    """The turn that the service would begin with, without exemplars and memory: they would give answers
    away.

    A private training sees the specification's traits: people's complaints moved those that serve, and one
    person more would change what everybody else is clipped on.
    """
    voice = voice_of(spec)
    private = voice.privacy.epsilon is not None
    known = first_graph(voice) if private else graph_of(persona_of(collection).content)
    graph: PersonaGraph = replace(known, exemplars=(), memory=())
    turns = prompt_of(voice, graph, (Message("user", "Hello"),), None)
    system = tuple(turn for turn in turns if turn.role == "system")
    return lambda _spoken: system
