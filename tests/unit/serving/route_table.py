"""Every route: what it needs, a request that it grants, and requests that name another tenant's rows.

A route, or an id in its path, query or body, that is missing here fails ``test_every_route.py``.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from everloop.contracts.access import Scope
from tests.two_tenants import CANARY, Rows, Sent

PUBLIC = {
    ("GET", "/health/live"),
    ("GET", "/health/ready"),
    ("GET", "/metrics"),
    ("GET", "/docs"),
    ("GET", "/docs/oauth2-redirect"),
    ("GET", "/redoc"),
    ("GET", "/openapi.json"),
}
"""Routes without a tenant's rows."""

Made = Callable[[Rows], Sent]
MadeOfBoth = Callable[[Rows, Rows], Sent]


@dataclass(frozen=True)
class Case:
    """A route.

    Attributes:
        scope: what it needs.
        good: a request that is granted, given the caller's own rows.
        foreign: id -> a request that names another tenant's row by it, given the rows of both; 403.
        apart: id -> a request with an id that each tenant has for itself (a person, or the id of a
            record that is made), given the rows of both; it shows nothing of the other's.
        own: ids that name no row of ours.
        mutates: whether it must leave an audit entry; ``None``: as its method says.
        status: what ``good`` is answered with where that is no success: a no that is meant.
    """

    scope: Scope
    good: Made
    foreign: Mapping[str, MadeOfBoth] = field(default_factory=dict)
    apart: Mapping[str, MadeOfBoth] = field(default_factory=dict)
    own: frozenset[str] = frozenset()
    mutates: bool | None = None
    status: int = 0


def _now() -> str:
    return datetime.now(UTC).isoformat()


def _episode(**changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "episode_id": str(uuid.uuid4()),
        "user_id": "ann",
        "context_snapshot": {"x": 0.5, "pulse": 70.0},
        "action_taken": "walk",
        "timestamp": _now(),
        "model_version": "v1",
        "propensity": 0.5,
    }
    return values | changes


def _talk(**changes: Any) -> dict[str, Any]:
    said = [{"role": "user", "text": "How are you?"}]
    return {"user_id": "ann", "said": said, **changes}


def _reward(rows: Rows, **changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "signal_id": str(uuid.uuid4()),
        "episode_id": rows.episode,
        "signal_type": "engagement",
        "value": 0.5,
        "latency": 60,
    }
    return values | changes


def _variants(base: str, **changes: Any) -> dict[str, Any]:
    warm = {"variant_id": "warm", "modifications": {}, "traffic_percentage": 50.0}
    return {"base_persona_id": base, "variants": [warm]} | changes


def _question(**changes: Any) -> dict[str, Any]:
    return {"user_id": "ann", "context": {"x": 0.5, "pulse": 70.0}} | changes


def _package(**changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "package_id": str(uuid.uuid4()),
        "user_id": "ann",
        "timestamp": _now(),
        "origin": "email",
        "texts": ["as I always say"],
    }
    return values | changes


LEARNING: Mapping[tuple[str, str], Case] = {
    ("POST", "/api/ml/episode"): Case(
        Scope.INGEST,
        good=lambda ours: Sent(body=_episode()),
        foreign={"decision_id": lambda ours, theirs: Sent(body={"decision_id": theirs.decision})},
        apart={
            "episode_id": lambda ours, theirs: Sent(body=_episode(episode_id=theirs.episode)),
            "user_id": lambda ours, theirs: Sent(body=_episode(user_id=theirs.user)),
        },
    ),
    ("POST", "/api/ml/episode/batch"): Case(
        Scope.INGEST,
        good=lambda ours: Sent(body={"episodes": [_episode(), {"decision_id": ours.decision}]}),
        foreign={
            "decision_id": lambda ours, theirs: Sent(
                body={"episodes": [_episode(), {"decision_id": theirs.decision}]}
            )
        },
        apart={
            "episode_id": lambda ours, theirs: Sent(
                body={"episodes": [_episode(episode_id=theirs.signal)]}
            ),
            "user_id": lambda ours, theirs: Sent(
                body={"episodes": [_episode(user_id=theirs.user)]}
            ),
        },
    ),
    ("GET", "/api/ml/episodes/{user_id}"): Case(
        Scope.READ,
        good=lambda ours: Sent(path={"user_id": ours.user}),
        apart={"user_id": lambda ours, theirs: Sent(path={"user_id": theirs.user})},
    ),
    ("POST", "/api/ml/reward"): Case(
        Scope.INGEST,
        good=lambda ours: Sent(body=_reward(ours)),
        foreign={"episode_id": lambda ours, theirs: Sent(body=_reward(theirs))},
        apart={"signal_id": lambda ours, theirs: Sent(body=_reward(ours, signal_id=theirs.signal))},
    ),
    ("POST", "/api/ml/reward/batch"): Case(
        Scope.INGEST,
        good=lambda ours: Sent(body={"rewards": [_reward(ours), _reward(ours)]}),
        foreign={"episode_id": lambda ours, theirs: Sent(body={"rewards": [_reward(theirs)]})},
        apart={
            "signal_id": lambda ours, theirs: Sent(
                body={"rewards": [_reward(ours, signal_id=theirs.job)]}
            )
        },
    ),
    ("POST", "/api/ml/speak"): Case(
        Scope.DECIDE,
        good=lambda ours: Sent(body=_talk(episode_id=ours.episode)),
        foreign={"episode_id": lambda ours, theirs: Sent(body=_talk(episode_id=theirs.episode))},
        apart={
            "log_id": lambda ours, theirs: Sent(body=_talk(log_id=theirs.signal)),
            "user_id": lambda ours, theirs: Sent(body=_talk(user_id=theirs.user)),
            "session_id": lambda ours, theirs: Sent(body=_talk(session_id="s")),
        },
    ),
    ("POST", "/api/ml/decide"): Case(
        Scope.DECIDE,
        good=lambda ours: Sent(body=_question()),
        apart={
            "decision_id": lambda ours, theirs: Sent(body=_question(decision_id=theirs.decision)),
            "user_id": lambda ours, theirs: Sent(body=_question(user_id=theirs.user)),
        },
    ),
    ("POST", "/api/ml/decide/batch"): Case(
        Scope.DECIDE,
        good=lambda ours: Sent(body={"decisions": [_question(), _question()]}),
        apart={
            "decision_id": lambda ours, theirs: Sent(
                body={"decisions": [_question(decision_id=theirs.job)]}
            ),
            "user_id": lambda ours, theirs: Sent(
                body={"decisions": [_question(user_id=theirs.user)]}
            ),
        },
    ),
}


def _interaction(**changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "log_id": str(uuid.uuid4()),
        "user_id": "ann",
        "session_id": str(uuid.uuid4()),
        "timestamp": _now(),
        "input_data": "how are you?",
        "output_data": "well, thank you",
        "agent_id": "agent",
        "task_type": "chat",
        "persona": "friend",
        "model_version": "v1",
    }
    return values | changes


def _feedback(rows: Rows, **changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "feedback_id": str(uuid.uuid4()),
        "log_id": rows.interaction,
        "session_id": str(uuid.uuid4()),
        "timestamp": _now(),
        "feedback_type": "thumb",
        "feedback_value": True,
    }
    return values | changes


def _survey(**changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "user_id": "ann",
        "session_id": str(uuid.uuid4()),
        "timestamp": _now(),
        "feedback_type": "trust_survey",
        "feedback_value": 4,
    }
    return values | changes


FEEDBACK: Mapping[tuple[str, str], Case] = {
    ("POST", "/api/rlhf/interaction"): Case(
        Scope.INGEST,
        good=lambda ours: Sent(body=_interaction(episode_id=ours.episode)),
        foreign={
            "episode_id": lambda ours, theirs: Sent(body=_interaction(episode_id=theirs.episode))
        },
        apart={
            "log_id": lambda ours, theirs: Sent(body=_interaction(log_id=theirs.interaction)),
            "user_id": lambda ours, theirs: Sent(body=_interaction(user_id=theirs.user)),
            "session_id": lambda ours, theirs: Sent(body=_interaction(session_id="s")),
        },
        own=frozenset({"agent_id"}),
    ),
    ("POST", "/api/rlhf/interactions"): Case(
        Scope.INGEST,
        good=lambda ours: Sent(body={"interactions": [_interaction(), _interaction()]}),
        foreign={
            "episode_id": lambda ours, theirs: Sent(
                body={"interactions": [_interaction(), _interaction(episode_id=theirs.episode)]}
            )
        },
        apart={
            "log_id": lambda ours, theirs: Sent(
                body={"interactions": [_interaction(log_id=theirs.feedback)]}
            ),
            "user_id": lambda ours, theirs: Sent(
                body={"interactions": [_interaction(user_id=theirs.user)]}
            ),
            "session_id": lambda ours, theirs: Sent(
                body={"interactions": [_interaction(session_id="s")]}
            ),
        },
        own=frozenset({"agent_id"}),
    ),
    ("POST", "/api/rlhf/feedback"): Case(
        Scope.INGEST,
        good=lambda ours: Sent(body=_feedback(ours)),
        foreign={"log_id": lambda ours, theirs: Sent(body=_feedback(theirs))},
        apart={
            "feedback_id": lambda ours, theirs: Sent(
                body=_feedback(ours, feedback_id=theirs.feedback)
            ),
            "user_id": lambda ours, theirs: Sent(body=_survey(user_id=theirs.user)),
            "session_id": lambda ours, theirs: Sent(body=_survey(session_id="s")),
        },
    ),
    ("POST", "/api/rlhf/feedback/batch"): Case(
        Scope.INGEST,
        good=lambda ours: Sent(body={"feedback": [_feedback(ours), _feedback(ours)]}),
        foreign={
            "log_id": lambda ours, theirs: Sent(
                body={"feedback": [_feedback(ours), _feedback(theirs)]}
            )
        },
        apart={
            "feedback_id": lambda ours, theirs: Sent(
                body={"feedback": [_feedback(ours, feedback_id=theirs.quarantined)]}
            ),
            "user_id": lambda ours, theirs: Sent(body={"feedback": [_survey(user_id=theirs.user)]}),
            "session_id": lambda ours, theirs: Sent(body={"feedback": [_survey(session_id="s")]}),
        },
    ),
    ("GET", "/api/rlhf/feedback/analysis"): Case(
        Scope.READ,
        good=lambda ours: Sent(),
        apart={"agent_id": lambda ours, theirs: Sent(query={"agent_id": CANARY})},
    ),
    ("GET", "/api/rlhf/feedback/quarantine"): Case(Scope.REVIEW, good=lambda ours: Sent()),
    ("PUT", "/api/rlhf/feedback/{feedback_id}/review"): Case(
        Scope.REVIEW,
        good=lambda ours: Sent(
            path={"feedback_id": ours.quarantined},
            body={"status": "released", "reason": "a person"},
        ),
        foreign={
            "feedback_id": lambda ours, theirs: Sent(
                path={"feedback_id": theirs.quarantined},
                body={"status": "released", "reason": "a person"},
            )
        },
    ),
}

TRAINING: Mapping[tuple[str, str], Case] = {
    ("POST", "/api/ml/train"): Case(Scope.TRAIN, good=lambda ours: Sent(body={"loop": "coach"})),
    ("GET", "/api/ml/train"): Case(Scope.READ, good=lambda ours: Sent()),
    ("GET", "/api/ml/train/{job_id}"): Case(
        Scope.READ,
        good=lambda ours: Sent(path={"job_id": ours.job}),
        foreign={"job_id": lambda ours, theirs: Sent(path={"job_id": theirs.job})},
    ),
    ("GET", "/api/ml/models"): Case(Scope.READ, good=lambda ours: Sent(query={"loop": "coach"})),
    ("POST", "/api/ml/deploy/{checkpoint_id}"): Case(
        Scope.DEPLOY,
        good=lambda ours: Sent(path={"checkpoint_id": ours.checkpoint}, body={"reason": "better"}),
        foreign={
            "checkpoint_id": lambda ours, theirs: Sent(
                path={"checkpoint_id": theirs.checkpoint}, body={"reason": "better"}
            )
        },
    ),
    ("GET", "/api/ml/metrics/{model_id}"): Case(
        Scope.READ,
        good=lambda ours: Sent(path={"model_id": ours.checkpoint}),
        foreign={"model_id": lambda ours, theirs: Sent(path={"model_id": theirs.checkpoint})},
    ),
}

_WHY = {"reason": "looked at it"}
TRIALS: Mapping[tuple[str, str], Case] = {
    ("GET", "/api/ml/deployments"): Case(
        Scope.READ, good=lambda ours: Sent(query={"loop": "coach"})
    ),
    ("GET", "/api/ml/deployments/{deployment_id}"): Case(
        Scope.READ,
        good=lambda ours: Sent(path={"deployment_id": ours.deployment}),
        foreign={
            "deployment_id": lambda ours, theirs: Sent(path={"deployment_id": theirs.deployment})
        },
    ),
    ("POST", "/api/ml/deployments/{deployment_id}/verdict/flagger/{hook}"): Case(
        Scope.READ,
        good=lambda ours: Sent(
            path={"deployment_id": ours.deployment, "hook": "confirm-rollout"}, body={}
        ),
        foreign={
            "deployment_id": lambda ours, theirs: Sent(
                path={"deployment_id": theirs.deployment, "hook": "rollback"}, body={}
            )
        },
        mutates=False,
        status=409,
    ),
    ("GET", "/api/ml/deployments/{deployment_id}/verdict"): Case(
        Scope.READ,
        good=lambda ours: Sent(path={"deployment_id": ours.deployment}),
        foreign={
            "deployment_id": lambda ours, theirs: Sent(path={"deployment_id": theirs.deployment})
        },
    ),
    ("POST", "/api/ml/rollouts/{rollout_id}/approve"): Case(
        Scope.REVIEW,
        good=lambda ours: Sent(path={"rollout_id": ours.awaiting}, body=_WHY),
        foreign={
            "rollout_id": lambda ours, theirs: Sent(path={"rollout_id": theirs.awaiting}, body=_WHY)
        },
    ),
    ("POST", "/api/ml/rollouts/{rollout_id}/{action}"): Case(
        Scope.DEPLOY,
        good=lambda ours: Sent(path={"rollout_id": ours.rollout, "action": "end"}, body=_WHY),
        foreign={
            "rollout_id": lambda ours, theirs: Sent(
                path={"rollout_id": theirs.rollout, "action": "end"}, body=_WHY
            )
        },
    ),
}
"""Deployments and trials."""


def _looked(**changes: Any) -> dict[str, Any]:
    return {"decision": "release", "reason": f"looked at it, {uuid.uuid4()}"} | changes


REVIEWS: Mapping[tuple[str, str], Case] = {
    ("GET", "/api/ml/reviews"): Case(
        Scope.REVIEW, good=lambda ours: Sent(query={"loop": "coach", "state": "all"})
    ),
    ("POST", "/api/ml/reviews"): Case(
        Scope.REVIEW,
        good=lambda ours: Sent(body=_looked(review_ids=[ours.review])),
    ),
    ("GET", "/api/ml/reviews/{review_id}"): Case(
        Scope.REVIEW,
        good=lambda ours: Sent(path={"review_id": ours.review}),
        foreign={"review_id": lambda ours, theirs: Sent(path={"review_id": theirs.review})},
    ),
    ("POST", "/api/ml/reviews/{review_id}"): Case(
        Scope.REVIEW,
        good=lambda ours: Sent(path={"review_id": ours.review}, body=_looked()),
        foreign={
            "review_id": lambda ours, theirs: Sent(
                path={"review_id": theirs.review}, body=_looked()
            )
        },
    ),
}


VARIANTS: Mapping[tuple[str, str], Case] = {
    ("POST", "/api/ml/variants"): Case(
        Scope.DEPLOY,
        good=lambda ours: Sent(body=_variants(str(uuid.uuid4()))),
        foreign={
            "experiment_id": lambda ours, theirs: Sent(
                body=_variants(str(uuid.uuid4()), experiment_id=theirs.experiment)
            )
        },
        apart={
            "base_persona_id": lambda ours, theirs: Sent(body=_variants("theirs")),
            "variant_id": lambda ours, theirs: Sent(body=_variants(str(uuid.uuid4()))),
        },
    ),
    ("GET", "/api/ml/variants"): Case(Scope.READ, good=lambda ours: Sent(query={"loop": "coach"})),
    ("GET", "/api/ml/variants/{experiment_id}"): Case(
        Scope.READ,
        good=lambda ours: Sent(path={"experiment_id": ours.experiment}),
        foreign={
            "experiment_id": lambda ours, theirs: Sent(path={"experiment_id": theirs.experiment})
        },
    ),
    ("POST", "/api/ml/variants/{experiment_id}/assignment"): Case(
        Scope.DECIDE,
        good=lambda ours: Sent(path={"experiment_id": ours.experiment}, body={"user_id": "ann"}),
        foreign={
            "experiment_id": lambda ours, theirs: Sent(
                path={"experiment_id": theirs.experiment}, body={"user_id": "ann"}
            )
        },
        apart={
            "user_id": lambda ours, theirs: Sent(
                path={"experiment_id": ours.experiment}, body={"user_id": theirs.user}
            )
        },
        mutates=False,
    ),
    ("POST", "/api/ml/variants/{experiment_id}/end"): Case(
        Scope.DEPLOY,
        good=lambda ours: Sent(path={"experiment_id": ours.experiment}, body={"reason": "enough"}),
        foreign={
            "experiment_id": lambda ours, theirs: Sent(
                path={"experiment_id": theirs.experiment}, body={"reason": "enough"}
            )
        },
    ),
}


SYNTHETIC: Mapping[tuple[str, str], Case] = {
    ("POST", "/api/ml/synthetic/generate"): Case(
        Scope.TRAIN,
        good=lambda ours: Sent(body={"n": 10, "loop": "coach"}),
        foreign={
            "job_id": lambda ours, theirs: Sent(body={"n": 10, "job_id": theirs.synthetic}),
        },
    ),
    ("POST", "/api/ml/synthetic/augment"): Case(
        Scope.TRAIN,
        good=lambda ours: Sent(body={"loop": "coach"}),
        foreign={"job_id": lambda ours, theirs: Sent(body={"job_id": theirs.synthetic})},
    ),
    ("GET", "/api/ml/synthetic/jobs"): Case(Scope.READ, good=lambda ours: Sent()),
    ("GET", "/api/ml/synthetic/jobs/{job_id}"): Case(
        Scope.READ,
        good=lambda ours: Sent(path={"job_id": ours.synthetic}),
        foreign={"job_id": lambda ours, theirs: Sent(path={"job_id": theirs.synthetic})},
    ),
    ("GET", "/api/ml/synthetic/jobs/{job_id}/file"): Case(
        Scope.READ,
        good=lambda ours: Sent(path={"job_id": ours.synthetic}),
        foreign={"job_id": lambda ours, theirs: Sent(path={"job_id": theirs.synthetic})},
        mutates=True,
    ),
    ("GET", "/api/ml/synthetic/stats"): Case(Scope.READ, good=lambda ours: Sent()),
}


def _person(**changes: Any) -> dict[str, Any]:
    return {"user_id": str(uuid.uuid4())} | changes


def _consent(**changes: Any) -> dict[str, Any]:
    return _person(purpose="train", granted=True) | changes


PRIVACY: Mapping[tuple[str, str], Case] = {
    ("GET", "/api/rlhf/privacy/consent"): Case(
        Scope.ADMIN,
        good=lambda ours: Sent(query={"user_id": ours.user}),
        apart={"user_id": lambda ours, theirs: Sent(query={"user_id": theirs.user})},
    ),
    ("PUT", "/api/rlhf/privacy/consent"): Case(
        Scope.ADMIN,
        good=lambda ours: Sent(body=_consent()),
        apart={"user_id": lambda ours, theirs: Sent(body=_consent(user_id=theirs.user))},
    ),
    ("GET", "/api/rlhf/privacy/export"): Case(
        Scope.ADMIN,
        good=lambda ours: Sent(query={"user_id": ours.user}),
        apart={"user_id": lambda ours, theirs: Sent(query={"user_id": theirs.user})},
        mutates=True,
    ),
    ("POST", "/api/rlhf/privacy/export"): Case(
        Scope.ADMIN,
        good=lambda ours: Sent(body=_person(user_id=ours.user)),
        apart={"user_id": lambda ours, theirs: Sent(body=_person(user_id=theirs.user))},
    ),
    ("POST", "/api/rlhf/privacy/erase"): Case(
        Scope.ADMIN,
        good=lambda ours: Sent(body=_person()),
        apart={"user_id": lambda ours, theirs: Sent(body=_person(user_id=theirs.user))},
    ),
}

ADMIN: Mapping[tuple[str, str], Case] = {
    ("GET", "/api/admin/audit"): Case(Scope.ADMIN, good=lambda ours: Sent(query={"limit": "1000"})),
}

PERSONAS: Mapping[tuple[str, str], Case] = {
    ("GET", "/api/ml/personas/{persona}"): Case(
        Scope.READ, good=lambda ours: Sent(path={"persona": "guide"})
    ),
    ("GET", "/api/ml/personas/{persona}/revisions"): Case(
        Scope.READ, good=lambda ours: Sent(path={"persona": "guide"})
    ),
    ("POST", "/api/ml/personas/{persona}/undo"): Case(
        Scope.DEPLOY, good=lambda ours: Sent(path={"persona": "guide"}, body=_WHY)
    ),
    ("POST", "/api/ml/personas/{persona}/traits"): Case(
        Scope.DEPLOY,
        good=lambda ours: Sent(
            path={"persona": "guide"},
            body={"trait": "formality", "adjustment": -0.2, "reason": "complaints"},
        ),
    ),
}
VOICE: Mapping[tuple[str, str], Case] = {
    ("POST", "/api/ml/voice/packages"): Case(
        Scope.INGEST,
        good=lambda ours: Sent(body={"packages": [_package()]}),
        apart={
            "package_id": lambda ours, theirs: Sent(
                body={"packages": [_package(package_id=theirs.package)]}
            ),
            "user_id": lambda ours, theirs: Sent(
                body={"packages": [_package(user_id=theirs.user)]}
            ),
        },
    ),
    ("GET", "/api/ml/voice/versions"): Case(
        Scope.READ,
        good=lambda ours: Sent(query={"persona": "guide"}),
        apart={
            "user_id": lambda ours, theirs: Sent(query={"persona": "guide", "user_id": theirs.user})
        },
    ),
    ("GET", "/api/ml/voice/sources/{source_id}/instances"): Case(
        Scope.READ,
        good=lambda ours: Sent(path={"source_id": ours.package}),
        apart={"source_id": lambda ours, theirs: Sent(path={"source_id": theirs.package})},
    ),
}

ROUTES: Mapping[tuple[str, str], Case] = {
    **LEARNING,
    **FEEDBACK,
    **TRAINING,
    **TRIALS,
    **REVIEWS,
    **VARIANTS,
    **PERSONAS,
    **VOICE,
    **SYNTHETIC,
    **PRIVACY,
    **ADMIN,
}
