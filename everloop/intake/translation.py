"""One row of a user's file as an episode and its signals, through a mapping."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from everloop.contracts.episodes import (
    EARLIEST,
    LEAST_PROPENSITY,
    Arm,
    Episode,
    Json,
    RewardSignal,
    canonical_uuid,
)
from everloop.contracts.errors import ShouldFixInput, ShouldFixMapping
from everloop.contracts.loop_spec import ContextField, FieldKind, LoopSpec
from everloop.intake.cells import BadCell, is_blank, listing, moment, number, text_of
from everloop.intake.conformity import (
    did_you_mean,
    episode_nonconformities,
    signal_nonconformities,
)
from everloop.intake.mapping import ContextSource, ImportMapping, MomentSource, SignalSource, Source
from everloop.intake.records import Pseudonym, stable_uuid

CLOCK_SKEW = timedelta(minutes=5)
"""How far ahead of the importing machine's clock a logged moment may lie."""

Cells = Mapping[str, Any]


class Translation:
    """A mapping bound to its loop, its tenant and the moment of the import.

    Args:
        pseudonym: product id -> pseudonym.
        now: what counts as the present for clock skew, UTC.
    """

    def __init__(
        self,
        spec: LoopSpec,
        mapping: ImportMapping,
        pseudonym: Pseudonym,
        tenant: str,
        now: datetime,
    ) -> None:
        self._spec = spec
        self._mapping = mapping
        self._pseudonym = pseudonym
        self._tenant = tenant
        self._latest = now + CLOCK_SKEW
        self._values = {index: signal.value for index, signal in enumerate(mapping.signals)}
        self._column_of = {
            f"context_snapshot.{name}": source.column or source.prefix
            for name, source in mapping.context.items()
        }
        self._column_of["action_taken"] = mapping.action.column
        if mapping.valid_actions is not None:
            self._column_of["valid_actions"] = mapping.valid_actions.column

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that the mapping reads, once."""
        mapping = self._mapping
        sources: list[Source | None] = [
            mapping.user_id,
            mapping.timestamp,
            mapping.action,
            mapping.propensity,
            mapping.valid_actions,
            mapping.model_version,
            mapping.arm,
            *mapping.context.values(),
        ]
        for signal in mapping.signals:
            sources += [signal.value, signal.latency, signal.at, signal.confidence]
        names = [mapping.episode_id.column, *(mapping.episode_id.key or ())]
        names += [source.column for source in sources if source is not None]
        for name, context in mapping.context.items():
            if context.prefix is not None:
                names += self._vector_columns(name, context.prefix)
        return tuple(dict.fromkeys(name for name in names if name is not None))

    def require(self, present: tuple[str, ...]) -> None:
        """Raise ``ShouldFixMapping`` when the mapping reads a column that the file lacks."""
        absent = [name for name in self.columns if name not in present]
        if absent:
            more = f" (and {len(absent) - 1} more)" if len(absent) > 1 else ""
            raise ShouldFixMapping(
                f"The file has no column {absent[0]!r}{more}.", did_you_mean(absent[0], present)
            )

    def episode(self, cells: Cells) -> Episode:
        """The decision of a row; ``BadCell`` when it cannot be one or does not fit the loop."""
        mapping = self._mapping
        action = self._text(mapping.action, cells)
        if action not in self._spec.action_index:
            raise BadCell(
                mapping.action.column,
                action,
                "is not an action of the loop",
                did_you_mean(action, self._spec.action_ids),
            )
        valid = self._valid_actions(cells)
        if action not in valid:
            raise BadCell(
                mapping.action.column,
                action,
                "is not among the row's valid actions",
                "Log the mask that was used.",
            )
        try:
            episode = Episode(
                episode_id=self._episode_id(cells),
                user_id=self._pseudonym(self._text(mapping.user_id, cells)),
                loop=self._spec.name,
                context_snapshot=self._context(cells),
                action_taken=action,
                timestamp=self._moment(mapping.timestamp, cells),
                model_version=self._text(mapping.model_version, cells),
                propensity=self._propensity(cells),
                valid_actions=valid,
                arm=self._arm(cells),
                tenant=self._tenant,
            )
        except ShouldFixInput as problem:
            raise BadCell(None, problem.message, "is not an episode", problem.remedy) from None
        except RecursionError:
            raise BadCell(None, None, "is nested too deeply", "Flatten the context.") from None
        for wrong in episode_nonconformities(self._spec, episode):
            column = self._column_of.get(wrong.field)
            raise BadCell(column or wrong.field, wrong.value, wrong.problem, wrong.fix)
        return episode

    def signals(self, cells: Cells, episode: Episode) -> tuple[RewardSignal, ...]:
        """The evidence that a row carries; ``BadCell`` when some of it cannot be used."""
        found = []
        for index, source in enumerate(self._mapping.signals):
            value = self._cell(self._values[index], cells)
            if value is None:
                continue
            try:
                signal = RewardSignal(
                    signal_id=stable_uuid("signal", episode.episode_id, source.type, str(index)),
                    episode_id=episode.episode_id,
                    signal_type=source.type,
                    value=number(source.column, value),
                    latency=self._latency(source, cells, episode.timestamp),
                    confidence=self._confidence(source, cells),
                    tenant=self._tenant,
                )
            except ShouldFixInput as problem:
                raise BadCell(
                    source.column, problem.message, "is not a signal", problem.remedy
                ) from None
            for wrong in signal_nonconformities(self._spec, signal):
                raise BadCell(source.column, wrong.value, wrong.problem, wrong.fix)
            found.append(signal)
        return tuple(found)

    def _cell(self, source: Source, cells: Cells) -> Json:
        """What a source says for a row, translated by its ``values``; None where it is empty."""
        if source.column is None:
            return source.const
        cell = cells.get(source.column)
        if is_blank(cell):
            return None
        if source.values is None:
            return cell
        key = text_of(cell)
        if key not in source.values:
            raise BadCell(
                source.column, cell, "is not named in values", did_you_mean(key, source.values)
            )
        return source.values[key]

    def _present(self, source: Source, cells: Cells) -> Json:
        cell = self._cell(source, cells)
        if is_blank(cell):
            raise BadCell(source.column, cell, "is empty", "Fill it in, or map another column.")
        return cell

    def _text(self, source: Source, cells: Cells) -> str:
        cell = self._present(source, cells)
        if isinstance(cell, list | dict) or (isinstance(cell, float) and not math.isfinite(cell)):
            raise BadCell(source.column, cell, "is not a name", "Write text or a whole number.")
        return text_of(cell)

    def _moment(self, source: MomentSource, cells: Cells) -> datetime:
        cell = self._present(source, cells)
        parsed = moment(source.column, cell, source.format)
        if parsed > self._latest:
            raise BadCell(
                source.column,
                cell,
                "lies more than 5 minutes ahead of this machine's clock",
                "Check the clocks, the offset and the format.",
            )
        if parsed < EARLIEST:
            raise BadCell(
                source.column,
                cell,
                f"lies before {EARLIEST:%Y-%m-%d}",
                "Check the clocks, the unit and the format.",
            )
        return parsed

    def _episode_id(self, cells: Cells) -> str:
        source = self._mapping.episode_id
        if source.key is not None:
            parts = [self._text(Source(column=name), cells) for name in source.key]
            return stable_uuid("episode", self._tenant, self._spec.name, *parts)
        cell = self._text(Source(column=source.column), cells)
        try:
            return canonical_uuid(cell)
        except ValueError:
            raise BadCell(
                source.column,
                cell,
                "is not a UUID",
                "Log a UUID per decision, or map episode_id: {key: [...]}.",
            ) from None

    def _valid_actions(self, cells: Cells) -> tuple[str, ...]:
        source = self._mapping.valid_actions
        if source is None:
            return self._spec.action_ids
        names = tuple(map(text_of, listing(source.column, self._present(source, cells))))
        if len(set(names)) != len(names):
            raise BadCell(source.column, "|".join(names), "repeats an action", "List each once.")
        return names

    def _propensity(self, cells: Cells) -> float | None:
        source = self._mapping.propensity
        cell = None if source is None else self._cell(source, cells)
        if source is None or cell is None:
            return None
        value = number(source.column, cell)
        if not 0.0 < value <= 1.0:
            raise BadCell(
                source.column,
                cell,
                "is outside (0, 1]",
                "Log the probability of the chosen action, exploration included.",
            )
        if value < LEAST_PROPENSITY:
            raise BadCell(
                source.column,
                cell,
                f"is below {LEAST_PROPENSITY:g}, too rare to weight by",
                "Log the probability of the chosen action, or leave the cell empty.",
            )
        return value

    def _arm(self, cells: Cells) -> Arm:
        name = self._text(self._mapping.arm, cells)
        try:
            return Arm(name)
        except ValueError:
            raise BadCell(
                self._mapping.arm.column, name, "is not an arm", did_you_mean(name, tuple(Arm))
            ) from None

    def _vector_columns(self, name: str, prefix: str) -> list[str]:
        return [f"{prefix}{index}" for index in range(self._spec.field(name).width)]

    def _context(self, cells: Cells) -> dict[str, Json]:
        context: dict[str, Json] = {}
        for name, source in self._mapping.context.items():
            value = self._context_value(self._spec.field(name), source, cells)
            if value is not None:
                context[name] = value
        return context

    def _context_value(self, field: ContextField, source: ContextSource, cells: Cells) -> Json:
        if source.prefix is not None:
            columns = self._vector_columns(field.name, source.prefix)
            return [number(column, cells.get(column)) for column in columns]
        cell = self._cell(source, cells)
        if cell is None:
            return None
        if field.kind is FieldKind.CATEGORY:
            return text_of(cell)
        if field.kind is FieldKind.VECTOR:
            return [number(source.column, item) for item in listing(source.column, cell)]
        if field.kind is FieldKind.HISTORY:
            return listing(source.column, cell)
        return number(source.column, cell)

    def _latency(self, source: SignalSource, cells: Cells, decided: datetime) -> int:
        if source.at is not None:
            column = source.at.column
            seconds = (self._moment(source.at, cells) - decided).total_seconds()
        else:
            latency = source.latency or Source(const=0)
            column = latency.column
            seconds = number(column, self._present(latency, cells))
        if seconds < 0:
            raise BadCell(
                column, seconds, "lies before the decision", "Check the clocks and the unit."
            )
        return math.floor(seconds)

    def _confidence(self, source: SignalSource, cells: Cells) -> float:
        column = source.confidence.column
        value = number(column, self._present(source.confidence, cells))
        if not 0.0 <= value <= 1.0:
            raise BadCell(column, value, "is outside [0, 1]", "Rescale the confidence.")
        return value
