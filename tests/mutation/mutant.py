"""One thing in the code that is broken on purpose, and the tests that must notice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

Row = tuple[str, str, str, str]
"""What is wrong, the text, what stands there instead, and the names of the tests, parted by blanks."""
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change of one file.

    Attributes:
        area: what kind of check is broken; with ``says`` it is what ``--only`` looks at.
        says: what the code does wrong once it is changed, as a statement.
        file: the changed file, relative to the repository.
        old: text that the file holds exactly once.
        new: what stands there instead.
        killers: pytest node ids, ``file::test`` or ``file::Class::test``; at least one of them has to
            fail, and all of them have to pass without the change.
    """

    area: str
    says: str
    file: str
    old: str
    new: str
    killers: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.area}: {self.says}"

    def mutated(self, text: str) -> str | None:
        """The file's text with the change; None where ``old`` is not there exactly once."""
        if text.count(self.old) != 1 or self.old == self.new:
            return None
        return text.replace(self.old, self.new)


def mutants(area: str, file: str, tests: str, rows: Sequence[Row]) -> tuple[Mutant, ...]:
    """Mutants of one file.

    Args:
        area, file: of each ``Mutant``.
        tests: the test file of killers that are named without one; may end in ``::Class``.
    """
    return tuple(
        Mutant(
            area,
            says,
            file,
            old,
            new,
            tuple(name if "/" in name else f"{tests}::{name}" for name in killers.split()),
        )
        for says, old, new, killers in rows
    )
