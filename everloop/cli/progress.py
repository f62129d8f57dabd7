"""Progress displays: a run's stages with their durations and results, profiles and trainings as bars."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.status import Status

from everloop.cli.output import notes
from everloop.contracts.figures import TrainingPoint

if TYPE_CHECKING:  # it brings kfp, which most commands do without
    from pipelines.local_run import StageEvent

_MARKS = {"succeeded": "[green]✓[/]", "cached": "[cyan]=[/]", "failed": "[red]✗[/]"}


class Spinner:
    """One line that says what goes on, on a terminal; nothing elsewhere."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status: Status | None = None

    def show(self, text: str) -> None:
        """Replace the line."""
        if not self._console.is_terminal:
            return
        if self._status is None:
            self._status = self._console.status(text)
            self._status.start()
        else:
            self._status.update(text)

    def close(self) -> None:
        """Take the line away."""
        if self._status is not None:
            self._status.stop()
            self._status = None


class StageDisplay:
    """Receives stage events; a spinner on a terminal, one line a stage everywhere."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._spinner = Spinner(console)

    def __call__(self, event: StageEvent) -> None:
        if event.kind == "started":
            self._spinner.show(f"{event.stage} …")
        elif event.kind == "progress":
            self._spinner.show(f"{event.stage} · {event.text}")
        else:
            self.close()
            took = "  kept" if event.kind == "cached" else f"{event.seconds:5.1f}s"
            mark = _MARKS[event.kind]
            self._console.print(
                f"  {mark} {event.stage:<18} {took}  ", end="", soft_wrap=True, markup=True
            )
            self._console.print(event.text, markup=False, soft_wrap=True)

    def close(self) -> None:
        """Stop the spinner."""
        self._spinner.close()


class _Bar:
    """A bar on stderr from ``with`` to its end, which then vanishes."""

    def __init__(self, description: str, *columns: ProgressColumn) -> None:
        self._progress = Progress(
            *columns, console=notes, transient=True, disable=not notes.is_terminal
        )
        self._task = self._progress.add_task(description, total=None)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()


class ProfileBar(_Bar):
    """A bar on stderr while profiles are made; nothing where nobody looks."""

    def __init__(self) -> None:
        super().__init__(
            "profiles",
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )

    def __call__(self, done: int, total: int) -> None:
        """So many profiles of so many are made; 0 in all while unknown."""
        self._progress.update(self._task, completed=done, total=total or None)


class CopyBar(_Bar):
    """A bar on stderr while a workspace is copied; nothing where nobody looks."""

    def __init__(self) -> None:
        super().__init__(
            "datasets and blobs",
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )

    def __call__(self, done: int, total: int) -> None:
        """So many of so many are copied."""
        self._progress.update(self._task, completed=done, total=total or None)


class BytesBar(_Bar):
    """A bar on stderr while files are copied or read; nothing where nobody looks."""

    def __init__(self, description: str) -> None:
        super().__init__(
            description,
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(binary_units=True),
            TimeRemainingColumn(),
        )

    def __call__(self, done: int, total: int, _: str) -> None:
        """So many bytes of so many are done; 0 in all while unknown."""
        self._progress.update(self._task, completed=done, total=total or None)


class TrainingBar(_Bar):
    """A bar on stderr while a policy trains, with how it goes; nothing where nobody looks."""

    def __init__(self) -> None:
        super().__init__(
            "starting …",
            TextColumn("iterations"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.description}"),
            TimeRemainingColumn(),
        )

    def __call__(self, point: TrainingPoint, iterations: int) -> None:
        """One more iteration of so many is done."""
        self._progress.update(
            self._task,
            completed=point.iteration,
            total=iterations,
            description=training_line(point),
        )


def training_line(point: TrainingPoint) -> str:
    """An iteration in a line."""
    return (
        f"{point.steps_per_second:,.0f} steps/s · reward {point.reward:.3f} "
        f"({point.low:.3f} to {point.high:.3f}) · KL {point.kl:.4f} · clipped {point.clip_fraction:.0%} · "
        f"entropy {point.entropy:.2f} · ε {point.epsilon:.2f}"
    )
