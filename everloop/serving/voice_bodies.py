"""What requests to give text for a voice carry, and what is answered about what it learned."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field, TypeAdapter
from pydantic_core import PydanticCustomError

from everloop.contracts.access import Caller
from everloop.contracts.errors import ShouldFixInput
from everloop.contracts.voices import (
    MAX_TEXT,
    ModelVersion,
    TrainingDataInstance,
    UserDataPackage,
)
from everloop.feedback.capture import LARGEST_SKEW
from everloop.privacy.pseudonyms import Pseudonyms
from everloop.serving.batches import Batch
from everloop.serving.bodies import Body, Id, Person, Word
from everloop.serving.feedback_bodies import Moment

LARGEST_PACKAGE_BATCH = 200
MOST_TEXTS = 500
MOST_CHARACTERS = 200_000
"""Of all texts of a package together."""


def _spoken(given: str) -> str:
    if not given.strip():
        raise PydanticCustomError("blank", "must not be blank")
    return given


Said = Annotated[str, Field(min_length=1, max_length=MAX_TEXT), AfterValidator(_spoken)]


class ReplyBody(Body):
    """What was said to the person, and what they answered."""

    said: Said
    answered: Said


class PackageBody(Body):
    """A person's own text, given so that the voice may learn how they speak."""

    package_id: Id
    user_id: Person
    timestamp: Moment
    """When it was written, RFC 3339 with an offset."""
    origin: Word
    """Such as email or chat."""
    texts: Annotated[tuple[Said, ...], Field(max_length=MOST_TEXTS)] = ()
    replies: Annotated[tuple[ReplyBody, ...], Field(max_length=MOST_TEXTS)] = ()
    persona: Annotated[str, Field(max_length=256)] = ""
    """The persona that may learn from it; empty for every one."""


class PackagesBody(Body):
    """One or many: all are stored, or none."""

    packages: Annotated[
        list[PackageBody], Field(min_length=1, max_length=LARGEST_PACKAGE_BATCH, fail_fast=True)
    ]


PACKAGES = Batch(PackagesBody, "packages", TypeAdapter(PackageBody), LARGEST_PACKAGE_BATCH)


class StoredPackages(BaseModel):
    """How many packages were new, and how many had come before."""

    stored: int
    known: int


class VersionRow(BaseModel):
    """One adapter of a persona.

    Attributes:
        model_id: the checkpoint's id.
        status: ``active``, ``experimental`` until it serves, or ``archived``.
        instances: how many training instances it learned from that are still stored.
        forgets: instances of people erased since that it learned from; above 0 the next run begins anew.
        data_until: when what it learned from ended; null: when it was made.
    """

    model_id: str
    persona: str
    base_model_name: str
    version_number: int
    creation_date: datetime
    data_until: datetime | None
    continued_from: str | None
    status: str
    instances: int
    forgets: int
    performance_metrics: dict[str, float]


class VoiceVersions(BaseModel):
    """Newest first."""

    versions: list[VersionRow]


class MessageRow(BaseModel):
    """One turn of a conversation."""

    role: str
    content: str


class InstanceRow(BaseModel):
    """What a voice learned from; ``category`` and ``augmented`` are for analysis and in no text."""

    instance_id: str
    source_type: str
    source_ids: list[str]
    task: str
    prompt: list[MessageRow]
    completion: str
    rejected: str | None
    liked: bool | None
    weight: float
    category: str
    augmented: str
    parent: str | None


class SourceInstances(BaseModel):
    """Everything that was made of a source; empty where nothing was."""

    instances: list[InstanceRow]


def package_of_body(
    body: PackageBody, caller: Caller, pseudonyms: Pseudonyms, now: datetime
) -> UserDataPackage:
    """The package of a request, with a pseudonym for the person.

    Raises:
        ShouldFixInput: no text, too much of it, no UUID, or a time that is ahead.
    """
    characters = sum(map(len, body.texts)) + sum(
        len(reply.said) + len(reply.answered) for reply in body.replies
    )
    if characters > MOST_CHARACTERS:
        raise ShouldFixInput(
            f"Package {body.package_id} has {characters:,} characters, more than {MOST_CHARACTERS:,}.",
            "Send it in several packages.",
        )
    if body.timestamp - now > LARGEST_SKEW:
        raise ShouldFixInput(
            f"Package {body.package_id}: timestamp={body.timestamp.isoformat()} is in the future.",
            "Check the client's clock.",
        )
    return UserDataPackage(
        package_id=body.package_id,
        user_id=pseudonyms.of(body.user_id, caller.tenant),
        timestamp=body.timestamp,
        origin=body.origin,
        texts=body.texts,
        replies=tuple((reply.said, reply.answered) for reply in body.replies),
        persona=body.persona,
        tenant=caller.tenant,
    )


def version_row(version: ModelVersion) -> VersionRow:
    """A version as it is shown."""
    return VersionRow(
        model_id=version.model_id,
        persona=version.persona,
        base_model_name=version.base_model_name,
        version_number=version.version_number,
        creation_date=version.creation_date,
        data_until=version.data_until,
        continued_from=version.continued_from,
        status=version.status,
        instances=version.instances,
        forgets=version.forgets,
        performance_metrics=dict(version.performance_metrics),
    )


def instance_row(instance: TrainingDataInstance) -> InstanceRow:
    """An instance as it is shown; whose it is, is not."""
    return InstanceRow(
        instance_id=instance.instance_id,
        source_type=instance.source_type,
        source_ids=list(instance.source_ids),
        task=instance.task,
        prompt=[MessageRow(role=each.role, content=each.content) for each in instance.prompt],
        completion=instance.completion,
        rejected=instance.rejected,
        liked=instance.liked,
        weight=instance.weight,
        category=instance.category,
        augmented=instance.augmented,
        parent=instance.parent,
    )
