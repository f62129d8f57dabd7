"""Context snapshots to float32 states, and the layout that says what each dimension means."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from everloop.contracts.datasets import Bool, EncodedBlock, EncodingLayout, Float32
from everloop.contracts.errors import ShouldFixArgument, ShouldFixEpisode
from everloop.contracts.loop_spec import ContextField, FieldKind, LoopSpec
from rl.encoders import fields
from rl.encoders.projection import public_projection
from rl.encoders.single import writer_of

MISSING = "missing"
"""Kind of the one-dimensional block that follows each field's: 1 where the field is absent."""

_ALGORITHM = 1
"""Rises whenever the same snapshot would be encoded differently; part of the encoder's version."""


class ContextEncoder:
    """Encodes the snapshots of one loop.

    Fields are laid out in the specification's order, each followed by its missing indicator. A field
    that the specification does not name is ignored: products may log more than models may read. An
    absent field or a null is zeros and an indicator of 1; so is an unknown category. Anything else
    that does not fit the specification is refused.
    """

    def __init__(self, spec: LoopSpec) -> None:
        self._fields = spec.context
        self._kind_of = {action.id: fields.KINDS.index(action.kind) for action in spec.actions}
        self._writers = [(f.name, writer_of(f, self._kind_of)) for f in spec.context]
        blocks: list[EncodedBlock] = []
        start = 0
        for field in spec.context:
            width = fields.width_of(field)
            blocks.append(EncodedBlock(field.name, field.kind.value, start, width))
            blocks.append(EncodedBlock(field.name, MISSING, start + width, 1))
            start += width + 1
        self.layout = EncodingLayout(
            encoder=f"{spec.name}-{self._fingerprint()[:16]}", width=start, blocks=tuple(blocks)
        )

    @property
    def interacting(self) -> Bool:
        """(d,) dimensions of fields that the specification lets interact with actions.

        Missing indicators never interact: each would cost one private parameter per action.
        """
        allowed = {field.name for field in self._fields if field.interacts}
        dims = np.zeros(self.layout.width, dtype=np.bool_)
        for block in self.layout.blocks:
            if block.field in allowed and block.kind != MISSING:
                dims[block.start : block.start + block.width] = True
        return dims

    def encode(
        self, contexts: Sequence[Mapping[str, Any]], names: Callable[[int], str] = "row {}".format
    ) -> Float32:
        """(n, d) states; ``names`` says how an error calls a row.

        Raises:
            ShouldFixEpisode: naming the row, the field and its value.
        """
        states = np.zeros((len(contexts), self.layout.width), dtype=np.float32)
        for row, context in enumerate(contexts):
            if not isinstance(context, Mapping):
                raise ShouldFixEpisode(
                    f"{names(row)}: the context {context!r:.80} is not an object.",
                    "Log the snapshot as field name -> value.",
                )
        start = 0
        for field in self._fields:
            values = [context.get(field.name) for context in contexts]
            block, missing = self._block(field, values, names)
            width = block.shape[1]
            states[:, start : start + width] = block
            states[:, start + width] = missing
            start += width + 1
        return states

    def encode_one(self, context: Mapping[str, Any]) -> Float32:
        """(1, d) state of one snapshot: what ``encode`` makes of it, sooner.

        Raises:
            ShouldFixEpisode: as ``encode`` does; the row is called "row 0".
        """
        state: list[float] = []
        for name, write in self._writers:
            block = write(context.get(name))
            if block is None:
                return self.encode([context])
            state += block
        return np.array([state], dtype=np.float32)

    def _block(
        self, field: ContextField, values: list[Any], names: Callable[[int], str]
    ) -> fields.Block:
        def refuse(row: int, value: Any, problem: str) -> ShouldFixEpisode:
            return ShouldFixEpisode(
                f"{names(row)}: context field {field.name!r}={_short(value)} {problem}.",
                "Correct the value, leave the field out, or change its public declaration.",
            )

        if field.kind is FieldKind.HISTORY:
            return fields.history(field, values, refuse, self._kind_of)
        encoder = {
            FieldKind.NUMBER: fields.number,
            FieldKind.VECTOR: fields.vector,
            FieldKind.CATEGORY: fields.category,
            FieldKind.CYCLE: fields.cycle,
        }[field.kind]
        return encoder(field, values, refuse)

    def _fingerprint(self) -> str:
        """SHA-256 of everything that decides how a snapshot is encoded."""
        total = hashlib.sha256(f"everloop/encoder/{_ALGORITHM}\n".encode())
        for field in self._fields:
            declared = field.model_dump(
                mode="json",
                include={
                    "name",
                    "kind",
                    "width",
                    "low",
                    "high",
                    "choices",
                    "period",
                    "project_to",
                },
            )
            total.update(json.dumps(declared, sort_keys=True).encode())
            if field.project_to is not None:
                matrix = public_projection(field.width, field.project_to)
                total.update(matrix.astype("<f8").tobytes())
            if field.kind is FieldKind.HISTORY:
                total.update(json.dumps(sorted(self._kind_of.items())).encode())
        return total.hexdigest()


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


_ENCODERS: dict[str, ContextEncoder] = {}


def encoder_of(spec: LoopSpec) -> ContextEncoder:
    """The encoder of a specification; built once per process."""
    known = _ENCODERS.get(spec.checksum)
    return known if known is not None else _ENCODERS.setdefault(spec.checksum, ContextEncoder(spec))


def layout(spec: LoopSpec) -> EncodingLayout:
    """Which dimensions of a state belong to which field, and the encoder's version.

    Each field has a block of its own kind, followed by a block of kind ``missing`` and width 1.
    """
    return encoder_of(spec).layout


def encode_context(spec: LoopSpec, contexts: Sequence[Mapping[str, Any]]) -> Float32:
    """(n, d) float32 states of n context snapshots (JSON values by field name), within [-1, 1].

    Raises:
        ShouldFixEpisode: a value that the specification does not allow, with its row and field.
    """
    if isinstance(contexts, Mapping):
        raise ShouldFixArgument(
            "encode_context takes a list of snapshots.", "Wrap a single one in a list."
        )
    return encoder_of(spec).encode(contexts)
