"""The progress display of a run: each stage with its duration and its result in words."""

from __future__ import annotations

from rich.console import Console
from rich.status import Status

from pipelines.local_run import StageEvent

_MARKS = {"succeeded": "[green]✓[/]", "cached": "[cyan]=[/]", "failed": "[red]✗[/]"}


class StageDisplay:
    """Receives stage events; a spinner on a terminal, one line a stage everywhere."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._spinner: Status | None = None

    def __call__(self, event: StageEvent) -> None:
        if event.kind == "started":
            self._spin(f"{event.stage} …")
        elif event.kind == "progress":
            self._spin(f"{event.stage} · {event.text}")
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
        if self._spinner is not None:
            self._spinner.stop()
            self._spinner = None

    def _spin(self, text: str) -> None:
        if not self._console.is_terminal:
            return
        if self._spinner is None:
            self._spinner = self._console.status(text)
            self._spinner.start()
        else:
            self._spinner.update(text)
