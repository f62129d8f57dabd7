"""What the client asks for: synthetic people."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Literal, TypeVar

from everloop.contracts.ids import event_id
from everloop.sdk.client.answers.synthetic import SyntheticJob, SyntheticStats
from everloop.sdk.client.call import Call
from everloop.sdk.client.calls import synthetic
from everloop.sdk.client.delivery import Delivery
from everloop.sdk.client.retry import Steps

T = TypeVar("T")
Format = Literal["parquet", "json"]


class SyntheticPeople(ABC):
    """People who do not exist: asked for, waited for and fetched."""

    def generate_people(
        self,
        n: int,
        *,
        loop: str | None = None,
        seed: int | None = None,
        edge_share: float | None = None,
        variance: float | None = None,
        days: int | None = None,
        format: Format | None = None,  # noqa: A002  (as the service calls it)
        start: date | None = None,
        job_id: str | None = None,
    ) -> SyntheticJob:
        """Queue a job that makes n people with their days; never buffered.

        Args:
            n: how many, up to 1,000,000.
            loop: may be left out where the service has one.
            seed, edge_share, variance, days, format, start: as the service documents them.
            job_id: a UUID; the same one again is the same job. Made here when left out.

        Raises:
            ShouldResolveConflict: the loop has no private releases yet.
        """
        return self._ask(
            synthetic.generate_people(
                n,
                loop,
                seed,
                edge_share,
                variance,
                days,
                format,
                start,
                job_id or event_id(),
            )
        )

    def augment_people(
        self,
        *,
        loop: str | None = None,
        per_person: int | None = None,
        seed: int | None = None,
        day: date | None = None,
        job_id: str | None = None,
    ) -> SyntheticJob:
        """Queue an augmentation of consenting people's data, which never leaves the service."""
        return self._ask(
            synthetic.augment_people(loop, per_person, seed, day, job_id or event_id())
        )

    def synthetic_job(self, job_id: str) -> SyntheticJob:
        """How a synthetic job goes."""
        return self._ask(synthetic.synthetic_job(job_id))

    def synthetic_jobs(self, loop: str | None = None, limit: int = 50) -> tuple[SyntheticJob, ...]:
        """Synthetic jobs, newest first."""
        return (self._ask(synthetic.synthetic_jobs(loop, limit))).jobs

    def synthetic_stats(self, loop: str | None = None) -> SyntheticStats:
        """What there is of synthetic people, what it cost, and what is published of its quality."""
        return self._ask(synthetic.synthetic_stats(loop))

    def wait_for_people(
        self,
        job_id: str,
        *,
        timeout: float = 600.0,
        poll: float = 1.0,
        progress: Callable[[SyntheticJob], None] | None = None,
    ) -> SyntheticJob:
        """The job once it has succeeded or failed.

        Args:
            timeout: seconds to wait at most.
            poll: seconds between two looks.
            progress: hears of the job at each look.

        Raises:
            ShouldRetryLater: it has not ended by then; it goes on.
        """
        return self._run(synthetic.waited(self._delivery, job_id, timeout, poll, progress))

    def download_people(self, job_id: str, path: Path | str) -> Path:
        """Write a finished generation's file, checked against its checksum; the path.

        Raises:
            ShouldFixArgument: the job has no file, as an augmentation never has.
            ShouldRestoreArtefact: what came is not what the job says.
        """
        return self._run(synthetic.downloaded(self._delivery, job_id, Path(path)))

    @property
    @abstractmethod
    def _delivery(self) -> Delivery:
        """What calls are sent by."""

    @abstractmethod
    def _ask(self, call: Call[T]) -> T:
        """Send a call; its answer."""

    @abstractmethod
    def _run(self, steps: Steps[T]) -> T:
        """Carry steps out."""
