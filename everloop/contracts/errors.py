"""Errors of everloop, each named by its remedy.

::

    EverloopError
    ├── ShouldFixLoopSpec          a loop specification is wrong: the line and the fix
    ├── ShouldFixPlatform          a platform file is wrong: the line and the fix
    ├── ShouldFixInput             a record or a file is malformed
    │   ├── ShouldFixEpisode
    │   ├── ShouldFixSignal
    │   ├── ShouldFixFeedback
    │   └── ShouldFixMapping
    ├── ShouldFixArgument          a parameter of a run, a command or a call is wrong
    ├── ShouldProvideKey           a secret is missing from the environment
    ├── ShouldAuthenticate         the caller is unknown (401)
    ├── ShouldAskForScope          the caller may not do this, or the row is another tenant's (403)
    ├── ShouldRespectConsent       the person withdrew from this purpose (403)
    ├── ShouldNameKnownId          nothing has this id (404)
    ├── ShouldSlowDown             a rate limit was met (429)
    ├── ShouldRetryLater           the service is full or starting (503)
    ├── ShouldInitWorkspace        no workspace here, or one of another version
    ├── ShouldFreeDisk             a write did not fit
    ├── ShouldProvideEngine        no container engine, no such image, or it may not be used
    ├── ShouldGiveMemory           a step in a container needed more than its limit
    ├── ShouldResolveConflict      the same id with another payload, or a lost compare-and-set
    │   ├── ShouldWaitForWorker    another process works on the job
    │   └── ShouldDecideAgain      what serves changed between a decision and its storing
    ├── ShouldRestoreArtefact      an artefact is missing or its checksum differs
    ├── ShouldCollectMoreData      a stage has too little to work with
    ├── ShouldWaitForBudget        the privacy budget does not cover a release
    ├── ShouldKeepRelease          a release exists under other terms: use it, do not pay again
    ├── ShouldRepairLedger         the ledger does not verify: releases stop
    ├── ShouldStayInside           real people's data, or what was varied from it, would leave
    ├── ShouldDeliverBuffer        a client's buffer on disk is full
    └── ShouldUpdateClient         the service answered what this client does not understand

Every error carries ``remedy``: one sentence in the imperative that names what to do.
"""

from __future__ import annotations


class EverloopError(Exception):
    """Root of all errors that everloop raises on purpose.

    Args:
        message: what is wrong, naming the offending value.
        remedy: what to do about it, one imperative sentence.
    """

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message if not remedy else f"{message} {remedy}")
        self.message = message
        self.remedy = remedy

    def __reduce__(self) -> tuple[type[EverloopError], tuple[str | float, ...]]:
        return type(self), (self.message, self.remedy)


class ShouldFixLoopSpec(EverloopError):
    """A loop specification has an unknown key, a bad range or a missing value."""


class ShouldFixPlatform(EverloopError):
    """A platform file has an unknown key, stage or unit, or a missing value."""


class ShouldFixInput(EverloopError):
    """A record or a file from outside is malformed."""


class ShouldFixEpisode(ShouldFixInput):
    """An episode violates its schema or its loop's specification."""


class ShouldFixSignal(ShouldFixInput):
    """A reward signal violates its schema or its loop's specification."""


class ShouldFixFeedback(ShouldFixInput):
    """An interaction or a feedback violates its schema, or speaks of an unknown interaction."""


class ShouldFixMapping(ShouldFixInput):
    """An import mapping names columns or fields that do not exist."""


class ShouldFixArgument(EverloopError):
    """A parameter of a run, a command or a call has a value that cannot be used."""


class ShouldProvideKey(EverloopError):
    """A secret that the environment must hold is missing or too short."""


class ShouldAuthenticate(EverloopError):
    """The request carries no credential, or one that is unknown, expired or revoked."""


class ShouldAskForScope(EverloopError):
    """The caller lacks the scope, or the row belongs to another tenant."""


class ShouldRespectConsent(EverloopError):
    """The person withdrew from the purpose that the request serves."""


class ShouldNameKnownId(EverloopError):
    """Nothing of the caller's tenant has this id."""


class ShouldWait(EverloopError):
    """The same request may succeed later.

    Args:
        retry_after: seconds to wait before it is sent again, > 0.
    """

    def __init__(self, message: str, remedy: str = "", retry_after: float = 1.0) -> None:
        super().__init__(message, remedy)
        self.retry_after = retry_after

    def __reduce__(self) -> tuple[type[EverloopError], tuple[str | float, ...]]:
        return type(self), (self.message, self.remedy, self.retry_after)


class ShouldSlowDown(ShouldWait):
    """A rate limit was met."""


class ShouldRetryLater(ShouldWait):
    """The service is full, or a part that the request needs isn't ready."""


class ShouldInitWorkspace(EverloopError):
    """There is no workspace at the given place, or one of another schema version."""


class ShouldFreeDisk(EverloopError):
    """A write did not fit on the disk; nothing was half-written."""


class ShouldProvideEngine(EverloopError):
    """A container engine or an image is missing, or does not let the caller in."""


class ShouldGiveMemory(EverloopError):
    """A step in a container needed more memory than it may have, and was killed."""


class ShouldResolveConflict(EverloopError):
    """An id was reused with another payload, or a compare-and-set was lost."""


class ShouldWaitForWorker(ShouldResolveConflict):
    """Another process works on the job."""


class ShouldDecideAgain(ShouldResolveConflict):
    """A decision was made under what has ceased to serve since; it was not stored."""


class ShouldRestoreArtefact(EverloopError):
    """An artefact is missing, unreadable or not what its checksum says."""


class ShouldCollectMoreData(EverloopError):
    """A computation has too few observations to be meaningful."""


class ShouldWaitForBudget(EverloopError):
    """The privacy budget left does not cover the release that was asked for."""


class ShouldKeepRelease(EverloopError):
    """A release of this stage and date exists under other terms; paying twice is refused."""


class ShouldRepairLedger(EverloopError):
    """The privacy ledger's chain does not verify."""


class ShouldStayInside(EverloopError):
    """Real people's data, or what was varied from it, would leave the trust boundary."""


class ShouldDeliverBuffer(EverloopError):
    """A client's buffer on disk has no room for what it was to keep."""


class ShouldUpdateClient(EverloopError):
    """A service's answer is not what this version of the client reads."""
