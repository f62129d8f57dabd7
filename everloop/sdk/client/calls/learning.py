"""Requests about decisions, episodes and rewards."""

from __future__ import annotations

from collections.abc import Sequence

from everloop.sdk.client.answers.learning import Decision, Decisions, EpisodePage, Receipt
from everloop.sdk.client.call import Call, body_of, params_of, path_of
from everloop.sdk.client.reading import json_of, read_as
from everloop.sdk.client.records import Confirmation, EpisodeRecord, Question, RewardRecord

Loggable = EpisodeRecord | Confirmation


def decide(question: Question) -> Call[Decision]:
    """``POST /api/ml/decide``."""
    return Call(
        "POST",
        "/api/ml/decide",
        "/api/ml/decide",
        read_as(Decision),
        body=body_of(question),
        ids=(question.decision_id,),
    )


def decide_many(questions: Sequence[Question]) -> Call[Decisions]:
    """``POST /api/ml/decide/batch``."""
    return Call(
        "POST",
        "/api/ml/decide/batch",
        "/api/ml/decide/batch",
        read_as(Decisions),
        body=body_of({"decisions": list(questions)}),
        ids=tuple(question.decision_id for question in questions),
    )


def log_episode(record: Loggable) -> Call[Receipt]:
    """``POST /api/ml/episode``."""
    return stored("/api/ml/episode", body_of(record), (_id(record),))


def log_episodes(records: Sequence[Loggable]) -> Call[Receipt]:
    """``POST /api/ml/episode/batch``."""
    body = body_of({"episodes": list(records)})
    return stored("/api/ml/episode/batch", body, tuple(map(_id, records)))


def log_reward(record: RewardRecord) -> Call[Receipt]:
    """``POST /api/ml/reward``."""
    return stored("/api/ml/reward", body_of(record), (record.signal_id,))


def log_rewards(records: Sequence[RewardRecord]) -> Call[Receipt]:
    """``POST /api/ml/reward/batch``."""
    body = body_of({"rewards": list(records)})
    return stored("/api/ml/reward/batch", body, tuple(each.signal_id for each in records))


def episodes_of(user_id: str, limit: int, offset: int) -> Call[EpisodePage]:
    """``GET /api/ml/episodes/{user_id}``."""
    route = "/api/ml/episodes/{user_id}"
    return Call(
        "GET",
        route,
        path_of(route, user_id=user_id),
        read_as(EpisodePage),
        params_of(limit=limit, offset=offset),
    )


def stored(route: str, body: bytes, ids: tuple[str, ...]) -> Call[Receipt]:
    """A request to store records, which may wait in the buffer."""

    def read(answer: bytes) -> Receipt:
        json_of(answer)
        return Receipt(ids)

    return Call("POST", route, route, read, body=body, ids=ids, kept=Receipt(ids, buffered=True))


def _id(record: Loggable) -> str:
    return record.episode_id if isinstance(record, EpisodeRecord) else record.decision_id
