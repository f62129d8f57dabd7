"""What is asked of a cluster: a graph, a loop and a day, as one run's name and parameters."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from everloop.contracts.documents import sha256_of
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.platform import Platform
from everloop.contracts.serving import EARLIEST_DAY
from everloop.loops import load
from everloop.loops.sections import override, split, voice_of, voice_text
from everloop.sdk.kubeflow.records import RunRequest
from pipelines.compile import compile_graph, graph
from pipelines.daily_learning import NAME as DAILY
from pipelines.source import code_sha256

_TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


@dataclass(frozen=True, slots=True)
class Question:
    """A graph, asked of a loop.

    Attributes:
        loop: a shipped loop's name, or the path of a YAML file.
        graph: its name.
        tenant: whose rows.
        settings: ``section.key=value`` overrides of the specification.
        extra: further parameters of the graph, such as ``refresh`` or ``model``.
        intraday: today is allowed: what has been logged so far is the day's.
        job: id of a job; its run is named after it alone, so that code and platform may change under it.
    """

    loop: str
    graph: str = DAILY
    tenant: str = "default"
    settings: tuple[str, ...] = ()
    extra: tuple[tuple[str, str], ...] = ()
    intraday: bool = False
    job: str = ""

    def __post_init__(self) -> None:
        if _TENANT.fullmatch(self.tenant) is None:
            raise ShouldFixArgument(
                f"Tenant {self.tenant!r} is no name.", "Use letters, digits and dashes."
            )
        if self.job and _TENANT.fullmatch(self.job) is None:
            raise ShouldFixArgument(
                f"Job {self.job!r} is no id.", "Use letters, digits and dashes."
            )

    def specification(self) -> LoopSpec:
        """The loop with the overrides; ``ShouldFixLoopSpec`` where it is wrong."""
        return override(load(self.loop), self.settings)

    def parameters(self, platform: Platform, logical_date: str) -> dict[str, str | int]:
        """What the graph is started with; ``ShouldFixArgument`` for a parameter that it does not have,
        ``ShouldFixLoopSpec`` for a voice that the loop does not have.

        Args:
            logical_date: YYYY-MM-DD; empty lets Kubeflow's scheduled moment decide.
        """
        inputs: Mapping[str, Any] = graph(self.graph).component_spec.inputs
        spec = self.specification()
        if "voice" in inputs:
            voice_of(spec)
        known = asdict(split(spec)) | {
            "voice": voice_text(spec),
            "workspace": platform.workspace,
            "logical_date": logical_date,
            "code": code_sha256(),
            "tenant": self.tenant,
        }
        extra = dict(self.extra)
        if self.intraday and "refresh" in inputs:
            # a reading of its own: the whole day is another one
            extra["refresh"] = f"intraday {extra.get('refresh', '')}".strip()
        if unknown := sorted(set(extra) - set(inputs)):
            raise ShouldFixArgument(
                f"The graph {self.graph} has no parameter {unknown[0]!r}.",
                f"It has: {', '.join(inputs)}.",
            )
        given: dict[str, str | int] = {n: value for n, value in known.items() if n in inputs}
        given |= {name: _typed(name, value, inputs[name].type) for name, value in extra.items()}
        needed = [n for n, spec in inputs.items() if not spec.optional and given.get(n, "") == ""]
        if needed:
            raise ShouldFixArgument(
                f"The graph {self.graph} needs {needed[0]}.",
                f"Give it as --parameter {needed[0]}=VALUE.",
            )
        return given


def _typed(name: str, value: str, kind: Any) -> str | int:
    if kind != "Integer":
        return value
    try:
        return int(value)
    except ValueError:
        raise ShouldFixArgument(f"{name}={value!r} is no whole number.", "Give one.") from None


def compiled(platform: Platform, name: str, folder: Path) -> tuple[Path, str]:
    """A graph's file for a platform, and the version that it is: code first, then code and platform.

    The same code and platform give the same file, and so the same version.
    """
    package = compile_graph(name, folder / f"{name}.yaml", platform)
    return package, f"{code_sha256()[:12]}-{sha256_of(package)[:8]}"


def run_request(
    question: Question, platform: Platform, logical_date: str, folder: Path
) -> RunRequest:
    """One run, named after what it asks: the same question has the same name.

    A job's run is named after the job, whatever code and platform it is asked again with.

    Args:
        logical_date: the day, in any form of ISO 8601.
    """
    day = _day(logical_date, question.intraday).isoformat()
    parameters = question.parameters(platform, day)
    package, version = compiled(platform, question.graph, folder)
    asked: dict[str, object] = {
        "graph": question.graph,
        "version": version,
        "parameters": parameters,
    }
    if question.intraday:
        asked["intraday"] = True
    digest = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:8]
    tenant = "" if question.tenant == "default" else f"-{question.tenant}"
    last = f"job-{question.job}" if question.job else digest
    name = f"{question.specification().name}{tenant}-{question.graph}-{day}-{last}"
    return RunRequest(question.graph, package, version, name, parameters, bool(question.job))


def _day(text: str, intraday: bool) -> date:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise ShouldFixArgument(f"{text!r} is no date.", "Give it as YYYY-MM-DD.") from None
    today = datetime.now(UTC).date()
    if not EARLIEST_DAY <= day <= today:
        raise ShouldFixArgument(
            f"{day} is not between {EARLIEST_DAY} and {today} (UTC).",
            "Choose a day that was logged.",
        )
    if day == today and not intraday:
        raise ShouldFixArgument(
            f"{day} has not ended: today is {today} (UTC).",
            "Submit a day once it is over, or cut it off now with --intraday.",
        )
    return day
