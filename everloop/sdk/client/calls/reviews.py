"""Requests about flagged episodes."""

from __future__ import annotations

from collections.abc import Sequence

from everloop.sdk.client.answers.reviews import DecidedReviews, EpisodeReview, EpisodeReviews
from everloop.sdk.client.call import Call, body_of, params_of, path_of
from everloop.sdk.client.reading import read_as


def episode_reviews(
    loop: str | None, state: str, after: str | None, limit: int
) -> Call[EpisodeReviews]:
    """``GET /api/ml/reviews``."""
    route = "/api/ml/reviews"
    params = params_of(loop=loop, state=state, after=after, limit=limit)
    return Call("GET", route, route, read_as(EpisodeReviews), params)


def episode_review(review_id: str) -> Call[EpisodeReview]:
    """``GET /api/ml/reviews/{review_id}``."""
    route = "/api/ml/reviews/{review_id}"
    return Call("GET", route, path_of(route, review_id=review_id), read_as(EpisodeReview))


def decide_review(review_id: str, decision: str, reason: str) -> Call[EpisodeReview]:
    """``POST /api/ml/reviews/{review_id}``."""
    route = "/api/ml/reviews/{review_id}"
    return Call(
        "POST",
        route,
        path_of(route, review_id=review_id),
        read_as(EpisodeReview),
        body=body_of({"decision": decision, "reason": reason}),
    )


def decide_reviews(review_ids: Sequence[str], decision: str, reason: str) -> Call[DecidedReviews]:
    """``POST /api/ml/reviews``."""
    route = "/api/ml/reviews"
    body = {"review_ids": list(review_ids), "decision": decision, "reason": reason}
    return Call("POST", route, route, read_as(DecidedReviews), body=body_of(body))
