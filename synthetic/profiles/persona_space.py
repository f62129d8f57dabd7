"""The public space that persona vectors are modelled in: principal components of a public pool.

No private data goes into it: the pool is a file of public vectors, or what people made up evenly within
the specification's bounds would have.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from everloop.contracts.datasets import EncodedBlock, EncodingLayout, Float, Float32
from everloop.contracts.errors import ShouldFixLoopSpec
from everloop.contracts.loop_spec import PERSONA_WIDTH, LoopSpec
from synthetic.profiles.contexts import contexts_of, even_codes

_PROJECTION = 20_260_102
_POOL = 20_260_104
_MADE_UP = 2_000
_INSIDE = 0.95
"""Share of the pool whose coordinates have norm at most 1; people beyond are clipped to it."""
POOL_TENSOR = "vectors"


@dataclass(frozen=True, slots=True, eq=False)
class PersonaSpace:
    """An affine frame of R^512: vector = mean + (coordinates * spread) @ components + residual.

    Attributes:
        mean: (512,) of the pool.
        components: (m, 512) orthonormal rows, the pool's principal components.
        spread: (m,) unit of each coordinate, in proportion to the pool's standard deviation along it:
            noise then blurs every component alike, and most of the pool lies within norm 1.
        pool: (n, 512) the pool's vectors.
        field: the block of the context that holds a person's logged vector; ``None``: vectors are
            contexts under ``persona_projection``.
    """

    mean: Float
    components: Float
    spread: Float
    pool: Float
    field: EncodedBlock | None

    @property
    def width(self) -> int:
        """m."""
        return len(self.components)

    @property
    def version(self) -> str:
        """Changes when coordinates mean something else."""
        told = np.concatenate([self.mean[None], self.spread[:, None] * self.components])
        return hashlib.sha256(np.round(told, 6).tobytes()).hexdigest()[:16]

    def of_contexts(self, context: Float32) -> Float:
        """(n, 512) vectors of (n, d) contexts: the logged field, or the context's projection."""
        if self.field is not None:
            return np.asarray(context[:, self.field.dimensions], dtype=np.float64)
        projection = persona_projection(context.shape[1])
        return np.asarray(context.astype(np.float64) @ projection, dtype=np.float64)

    def coordinates(self, vectors: Float) -> Float:
        """(n, m) of (n, 512) vectors."""
        return np.asarray((vectors - self.mean) @ self.components.T / self.spread, dtype=np.float64)

    def residual(self, vectors: Float) -> Float:
        """(n, 512) what coordinates do not tell."""
        known = (self.coordinates(vectors) * self.spread) @ self.components
        return np.asarray(vectors - self.mean - known, dtype=np.float64)

    def vectors(self, coordinates: Float, residual: Float) -> Float:
        """(n, 512) from (n, m) coordinates and (n, 512) residuals."""
        told = (coordinates * self.spread) @ self.components
        return np.asarray(self.mean + told + residual, dtype=np.float64)


def persona_projection(width: int) -> Float:
    """(width, 512) public matrix with entries N(0, 1 / 512): norms are kept on average."""
    rng = np.random.default_rng([_PROJECTION, width])
    drawn: Float = rng.standard_normal((width, PERSONA_WIDTH)) / np.sqrt(PERSONA_WIDTH)
    return drawn


def persona_space(spec: LoopSpec, layout: EncodingLayout) -> PersonaSpace:
    """The space of a loop.

    Raises:
        ShouldFixLoopSpec: ``persona.field`` is encoded with another width, or ``persona.pool`` holds no
            (n, 512) finite vectors, or too few of them.
    """
    field = _field_block(spec, layout)
    if spec.persona.pool is not None:
        pool = _read(Path(spec.persona.pool), spec.persona.components)
        return space_of(pool, spec.persona.components, field)
    return _made_up_space(layout, spec.persona.components, field)


def space_of(pool: Float, components: int, field: EncodedBlock | None = None) -> PersonaSpace:
    """The space of a pool (n, 512): its mean, leading components and the norm that holds most of it."""
    mean = pool.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(pool.T))
    kept = min(components, int((values > 1e-9 * max(float(values[-1]), 1e-300)).sum()))
    rows = vectors[:, ::-1][:, : max(1, kept)].T
    # the sign of an eigenvector is arbitrary: its largest entry is made positive
    rows = rows * np.sign(rows[np.arange(len(rows)), np.abs(rows).argmax(axis=1)])[:, None]
    along = (pool - mean) @ rows.T
    spread = np.maximum(along.std(axis=0), 1e-12)
    spread = spread * float(np.quantile(np.linalg.norm(along / spread, axis=1), _INSIDE))
    return PersonaSpace(mean, rows, spread, pool, field)


def _field_block(spec: LoopSpec, layout: EncodingLayout) -> EncodedBlock | None:
    name = spec.persona.field
    if name is None:
        return None
    found = next((b for b in layout.of_kind("vector") if b.field == name), None)
    if found is None or found.width != PERSONA_WIDTH:
        width = found.width if found else 0
        raise ShouldFixLoopSpec(
            f"persona.field {name!r} is encoded as {width} numbers, not {PERSONA_WIDTH}.",
            "Leave out its project_to, or leave out persona.field.",
        )
    return found


@lru_cache(maxsize=16)
def _made_up_space(
    layout: EncodingLayout, components: int, field: EncodedBlock | None
) -> PersonaSpace:
    rng = np.random.default_rng([_POOL, layout.width])
    if field is not None:
        return space_of(rng.uniform(-1.0, 1.0, (_MADE_UP, PERSONA_WIDTH)), components, field)
    made_up = contexts_of(layout, even_codes(layout, _MADE_UP, rng), rng)
    return space_of(made_up @ persona_projection(layout.width), components)


def _read(path: Path, components: int) -> Float:
    try:
        pool = load_file(path)[POOL_TENSOR].astype(np.float64)
    except (OSError, SafetensorError, KeyError, ValueError) as problem:
        raise ShouldFixLoopSpec(
            f"persona.pool {path} holds no tensor {POOL_TENSOR!r} ({problem}).",
            "Give a safetensors file of public vectors.",
        ) from problem
    fits = pool.ndim == 2 and pool.shape[1] == PERSONA_WIDTH and len(pool) > components
    if not (fits and np.isfinite(pool).all()):
        raise ShouldFixLoopSpec(
            f"persona.pool {path} has shape {pool.shape}, or holds NaN or infinity.",
            f"Give more than {components} finite vectors of {PERSONA_WIDTH} numbers.",
        )
    return pool
