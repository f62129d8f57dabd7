"""The client of the HTTP service: typed, patient, and able to wait without losing what people did."""

from everloop.sdk.client.answers.feedback import FeedbackReceipt
from everloop.sdk.client.answers.learning import Decision, Receipt, Slate
from everloop.sdk.client.answers.voice import SpokenAnswer
from everloop.sdk.client.asynchronous import AsyncClient
from everloop.sdk.client.buffer import Buffer
from everloop.sdk.client.records import (
    Candidate,
    Confirmation,
    EpisodeRecord,
    FeedbackRecord,
    InteractionRecord,
    PackageRecord,
    Question,
    ReplyRecord,
    RewardRecord,
    SpokenQuestion,
    SpokenTurn,
)
from everloop.sdk.client.retry import Retries
from everloop.sdk.client.sync import Client

__all__ = [
    "AsyncClient",
    "Buffer",
    "Candidate",
    "Client",
    "Confirmation",
    "Decision",
    "EpisodeRecord",
    "FeedbackReceipt",
    "FeedbackRecord",
    "InteractionRecord",
    "PackageRecord",
    "Question",
    "Receipt",
    "ReplyRecord",
    "Retries",
    "RewardRecord",
    "Slate",
    "SpokenAnswer",
    "SpokenQuestion",
    "SpokenTurn",
]
