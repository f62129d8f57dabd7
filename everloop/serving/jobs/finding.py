"""Finding a tenant's job by its id, whatever kind of job it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from everloop.contracts.episodes import canonical_uuid
from everloop.contracts.errors import ShouldAskForScope, ShouldNameKnownId
from everloop.wiring import Workspace

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class JobFinder(Generic[Found]):
    """Finds jobs of one kind.

    Attributes:
        kind: what tenancy calls them.
        words: what people call one, such as "training job".
        listed_at: the path that lists them.
        stored: a tenant's job by its canonical id; ``ShouldNameKnownId`` when it has none of it.
    """

    kind: str
    words: str
    listed_at: str
    stored: Callable[[Workspace, str, str], Found]

    def find(self, workspace: Workspace, job_id: str, tenant: str) -> Found:
        """A tenant's job.

        Raises:
            ShouldNameKnownId: there is none.
            ShouldAskForScope: it is another tenant's.
        """
        try:
            known = canonical_uuid(job_id)
        except ValueError:
            raise ShouldNameKnownId(
                f"There is no {self.words} {job_id[:80]!r}.", f"GET {self.listed_at} lists them."
            ) from None
        try:
            return self.stored(workspace, known, tenant)
        except ShouldNameKnownId:
            if workspace.tenancy.owner(self.kind, known) is None:
                raise
            raise self.of_another(known) from None

    def of_another(self, job_id: str) -> ShouldAskForScope:
        """The error about another tenant's job."""
        return ShouldAskForScope(
            f"{self.words.capitalize()} {job_id} is another tenant's.",
            "Use a credential of that tenant.",
        )
