"""Training instances as a file: one canonical JSON object a line, under zstd, in the order written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from everloop.adaptation.line_file import LineWriter, reading_lines, writing_lines
from everloop.contracts.canonical import canonical_bytes
from everloop.contracts.errors import EverloopError, ShouldFixInput, ShouldRestoreArtefact
from everloop.contracts.voices import TrainingDataInstance

_INSTANCE = TypeAdapter(TrainingDataInstance)


class InstanceWriter:
    """Appends instances to a file that is being written."""

    def __init__(self, lines: LineWriter) -> None:
        self._lines = lines

    @property
    def rows(self) -> int:
        """Instances written so far."""
        return self._lines.rows

    def write(self, instance: TrainingDataInstance) -> None:
        """Append one.

        Raises:
            ShouldFixInput: its metadata are no finite JSON.
        """
        try:
            canonical_bytes(instance.metadata)  # what follows would make null of NaN
            self._lines.write(canonical_bytes(_INSTANCE.dump_python(instance, mode="json")))
        except (ValueError, TypeError) as problem:
            raise ShouldFixInput(
                f"Training instance {instance.instance_id} is no finite JSON ({problem}).",
                "Give its metadata as JSON values.",
            ) from problem


@contextmanager
def writing_instances(path: Path) -> Iterator[InstanceWriter]:
    """A writer whose file is there, whole, when the block ends without an error.

    Raises:
        ShouldFreeDisk: the disk is full; nothing was changed.
    """
    with writing_lines(path) as lines:
        yield InstanceWriter(lines)


def write_instances(instances: Iterable[TrainingDataInstance], path: Path) -> int:
    """Write all of them, atomically; returns how many."""
    with writing_instances(path) as writer:
        for instance in instances:
            writer.write(instance)
    return writer.rows


def read_instances(path: Path) -> Iterator[TrainingDataInstance]:
    """What was written, one at a time.

    Raises:
        ShouldRestoreArtefact: the file is missing, cut off or changed, or holds something else.
    """
    for number, line in enumerate(reading_lines(path), start=1):
        try:
            yield _INSTANCE.validate_json(line)
        except (ValidationError, EverloopError) as problem:
            raise ShouldRestoreArtefact(
                f"{path}, line {number}, is no training instance ({problem}).",
                "Rerun the stage that writes it.",
            ) from problem
