"""Requests about what a voice learns from and became."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from everloop.sdk.client.answers.learning import Receipt
from everloop.sdk.client.answers.voice import SourceInstances, SpokenAnswer, VoiceVersions
from everloop.sdk.client.call import Call, body_of, params_of, path_of
from everloop.sdk.client.calls.learning import stored
from everloop.sdk.client.reading import read_as
from everloop.sdk.client.records import PackageRecord, SpokenQuestion

LONGEST_ANSWER_S = 65.0
"""The service itself gives an answer up after 60 seconds."""


def give_packages(records: Sequence[PackageRecord]) -> Call[Receipt]:
    """``POST /api/ml/voice/packages``."""
    body = body_of({"packages": list(records)})
    return stored("/api/ml/voice/packages", body, tuple(each.package_id for each in records))


def speak(spoken: SpokenQuestion) -> Call[SpokenAnswer]:
    """``POST /api/ml/speak``; asked again under the same ``log_id``, it is answered as before."""
    route = "/api/ml/speak"
    return Call(
        "POST",
        route,
        route,
        read_as(SpokenAnswer),
        body=body_of(spoken),
        ids=(spoken.log_id,),
        longest=LONGEST_ANSWER_S,
    )


def speak_in_pieces(spoken: SpokenQuestion) -> Call[SpokenAnswer]:
    """``POST /api/ml/speak`` as server-sent events, which ``SpeechEvents`` reads."""
    named = {each.name: getattr(spoken, each.name) for each in dataclasses.fields(spoken)}
    return dataclasses.replace(speak(spoken), body=body_of({**named, "stream": True}))


def voice_versions(persona: str, user_id: str | None) -> Call[VoiceVersions]:
    """``GET /api/ml/voice/versions``."""
    route = "/api/ml/voice/versions"
    params = params_of(persona=persona, user_id=user_id)
    return Call("GET", route, route, read_as(VoiceVersions), params)


def source_instances(source_id: str) -> Call[SourceInstances]:
    """``GET /api/ml/voice/sources/{source_id}/instances``."""
    route = "/api/ml/voice/sources/{source_id}/instances"
    return Call("GET", route, path_of(route, source_id=source_id), read_as(SourceInstances))
