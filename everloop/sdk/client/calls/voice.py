"""Requests about what a voice learns from and became."""

from __future__ import annotations

from collections.abc import Sequence

from everloop.sdk.client.answers.learning import Receipt
from everloop.sdk.client.answers.voice import SourceInstances, VoiceVersions
from everloop.sdk.client.call import Call, body_of, params_of, path_of
from everloop.sdk.client.calls.learning import stored
from everloop.sdk.client.reading import read_as
from everloop.sdk.client.records import PackageRecord


def give_packages(records: Sequence[PackageRecord]) -> Call[Receipt]:
    """``POST /api/ml/voice/packages``."""
    body = body_of({"packages": list(records)})
    return stored("/api/ml/voice/packages", body, tuple(each.package_id for each in records))


def voice_versions(persona: str, user_id: str | None) -> Call[VoiceVersions]:
    """``GET /api/ml/voice/versions``."""
    route = "/api/ml/voice/versions"
    params = params_of(persona=persona, user_id=user_id)
    return Call("GET", route, route, read_as(VoiceVersions), params)


def source_instances(source_id: str) -> Call[SourceInstances]:
    """``GET /api/ml/voice/sources/{source_id}/instances``."""
    route = "/api/ml/voice/sources/{source_id}/instances"
    return Call("GET", route, path_of(route, source_id=source_id), read_as(SourceInstances))
