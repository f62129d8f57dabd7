"""Progress displays: a run's stages with their durations and results, and profiles as a bar."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.status import Status

from everloop.cli.output import notes
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


class ProfileBar:
    """A bar on stderr while profiles are made; nothing where nobody looks."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=notes,
            transient=True,
            disable=not notes.is_terminal,
        )
        self._task = self._progress.add_task("profiles", total=None)

    def __enter__(self) -> ProfileBar:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def __call__(self, done: int, total: int) -> None:
        """So many profiles of so many are made; 0 in all while unknown."""
        self._progress.update(self._task, completed=done, total=total or None)
