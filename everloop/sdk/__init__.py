"""The Python interface: call a service, start runs, open any run and load any stage's output.

>>> from everloop.sdk import Client
>>> client = Client("https://learning.example", "ek_...")              # doctest: +SKIP
>>> client.decide("user-17", {"hour": 9}).action                       # doctest: +SKIP

>>> from everloop import sdk
>>> run = sdk.run_daily("companion", "2026-03-28")                     # doctest: +SKIP
>>> run.verdict.decision, run.evaluation.difference                    # doctest: +SKIP

Names are imported when they are first used: a product that calls a service loads no training code.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from everloop.contracts.ids import event_id
    from everloop.sdk.client import (
        AsyncClient,
        Buffer,
        Candidate,
        Client,
        Confirmation,
        Decision,
        EpisodeRecord,
        FeedbackReceipt,
        FeedbackRecord,
        InteractionRecord,
        PackageRecord,
        Question,
        Receipt,
        ReplyRecord,
        Retries,
        RewardRecord,
        Slate,
        SpokenAnswer,
        SpokenQuestion,
        SpokenTurn,
    )
    from everloop.sdk.daily import DailyPlan, run_daily, run_range
    from everloop.sdk.experiment import (
        ExperimentPlan,
        OpenedExperiment,
        run_experiment,
        submit_experiment,
    )
    from everloop.sdk.kubeflow.records import ClusterRun
    from everloop.sdk.kubeflow.schedules import Schedule
    from everloop.sdk.kubeflow.submitting import (
        delete_schedule,
        pause_schedule,
        resume_schedule,
        schedule,
        schedules,
        submit,
    )
    from everloop.sdk.opened import OpenedRun, open_run, runs
    from everloop.sdk.planning import plan_trial
    from everloop.sdk.policies.training import PolicyTraining, train_policy
    from everloop.sdk.policies.tuning import tune_policy
    from everloop.sdk.rollouts import (
        RolloutStatus,
        approve,
        end,
        list_rollouts,
        pause,
        promote,
        resume,
        rollback,
        rollout_events,
        rollout_status,
        verdict_of,
    )
    from everloop.sdk.synthetic.people import (
        AugmentedPeople,
        GeneratedProfiles,
        augment_people,
        generate_profiles,
    )
    from everloop.sdk.watching import Watched, watch

__all__ = [
    "AsyncClient",
    "AugmentedPeople",
    "Buffer",
    "Candidate",
    "Client",
    "ClusterRun",
    "Confirmation",
    "DailyPlan",
    "Decision",
    "EpisodeRecord",
    "ExperimentPlan",
    "FeedbackReceipt",
    "FeedbackRecord",
    "GeneratedProfiles",
    "InteractionRecord",
    "OpenedExperiment",
    "OpenedRun",
    "PackageRecord",
    "PolicyTraining",
    "Question",
    "Receipt",
    "ReplyRecord",
    "Retries",
    "RewardRecord",
    "RolloutStatus",
    "Schedule",
    "Slate",
    "SpokenAnswer",
    "SpokenQuestion",
    "SpokenTurn",
    "Watched",
    "approve",
    "augment_people",
    "delete_schedule",
    "end",
    "event_id",
    "generate_profiles",
    "list_rollouts",
    "open_run",
    "pause",
    "pause_schedule",
    "plan_trial",
    "promote",
    "resume",
    "resume_schedule",
    "rollback",
    "rollout_events",
    "rollout_status",
    "run_daily",
    "run_experiment",
    "run_range",
    "runs",
    "schedule",
    "schedules",
    "submit",
    "submit_experiment",
    "train_policy",
    "tune_policy",
    "verdict_of",
    "watch",
]

_ELSEWHERE = {
    "DailyPlan": "everloop.sdk.daily",
    "run_daily": "everloop.sdk.daily",
    "run_range": "everloop.sdk.daily",
    "ExperimentPlan": "everloop.sdk.experiment",
    "OpenedExperiment": "everloop.sdk.experiment",
    "run_experiment": "everloop.sdk.experiment",
    "submit_experiment": "everloop.sdk.experiment",
    "OpenedRun": "everloop.sdk.opened",
    "open_run": "everloop.sdk.opened",
    "runs": "everloop.sdk.opened",
    "PolicyTraining": "everloop.sdk.policies.training",
    "train_policy": "everloop.sdk.policies.training",
    "tune_policy": "everloop.sdk.policies.tuning",
    "event_id": "everloop.contracts.ids",
    "AugmentedPeople": "everloop.sdk.synthetic.people",
    "GeneratedProfiles": "everloop.sdk.synthetic.people",
    "augment_people": "everloop.sdk.synthetic.people",
    "generate_profiles": "everloop.sdk.synthetic.people",
    "Watched": "everloop.sdk.watching",
    "watch": "everloop.sdk.watching",
    "plan_trial": "everloop.sdk.planning",
    "ClusterRun": "everloop.sdk.kubeflow.records",
    "Schedule": "everloop.sdk.kubeflow.schedules",
    **dict.fromkeys(
        (
            "delete_schedule",
            "pause_schedule",
            "resume_schedule",
            "schedule",
            "schedules",
            "submit",
        ),
        "everloop.sdk.kubeflow.submitting",
    ),
    **dict.fromkeys(
        (
            "RolloutStatus",
            "approve",
            "end",
            "list_rollouts",
            "pause",
            "promote",
            "resume",
            "rollback",
            "rollout_events",
            "rollout_status",
            "verdict_of",
        ),
        "everloop.sdk.rollouts",
    ),
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_ELSEWHERE.get(name, "everloop.sdk.client")), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
