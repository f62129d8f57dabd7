"""The progress display of a run: each stage with its duration and its result in words."""

from __future__ import annotations

from rich.console import Console
from rich.status import Status

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
