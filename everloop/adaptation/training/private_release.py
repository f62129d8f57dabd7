"""A private adapter as the one file that the ledger keeps: its weights, with what may be known of them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import load_file, save

from everloop.adaptation.training.publish import CONFIG, WEIGHTS, publish_tensors
from everloop.contracts.documents import from_json, to_json, write_atomically
from everloop.contracts.errors import ShouldRestoreArtefact
from everloop.contracts.speaking import AdapterFolder, BaseFolder
from everloop.contracts.voices import AdapterFigures

_FIGURES, _CONFIG = "figures", "config"
_TOLD = "release"


def released_file(adapter: AdapterFolder, figures: AdapterFigures, path: Path) -> Path:
    """Write weights, configuration and figures to one safetensors file; equal releases, equal bytes.

    Examples, rows, people and tokens are left at 0: exact counts are no release. So are seconds, which
    would differ between two runs of the same one.
    """
    phases = tuple(replace(phase, examples=0, tokens=0, seconds=0.0) for phase in figures.phases)
    told = {
        _FIGURES: to_json(replace(figures, phases=phases, rows_by_task={}, people=0)).decode(),
        _CONFIG: (adapter.path / CONFIG).read_text(),
    }
    # Several entries of a safetensors header come in an order of their own each time.
    header = {_TOLD: json.dumps(told, sort_keys=True)}
    return write_atomically(save(load_file(adapter.path / WEIGHTS), metadata=header), path)


def restored(file: Path, base: BaseFolder, out: Path) -> tuple[AdapterFolder, AdapterFigures]:
    """Publish a stored release again, to the same bytes; its figures count nothing (``with_counts``).

    Raises:
        ShouldRestoreArtefact: the file is not one of a private adapter, or of this base.
    """
    with safe_open(file, framework="pt") as stored:
        told = json.loads((stored.metadata() or {}).get(_TOLD, "{}"))
    if not isinstance(told, dict) or not {_FIGURES, _CONFIG} <= told.keys():
        raise ShouldRestoreArtefact(f"{file} holds no private adapter.", "Restore the release.")
    figures = from_json(AdapterFigures, told[_FIGURES].encode())
    adapter = publish_tensors(load_file(file), json.loads(told[_CONFIG]), base, out)
    if adapter.sha256 != figures.adapter_sha256:
        raise ShouldRestoreArtefact(
            f"{file} gives the adapter {adapter.sha256}, and {figures.adapter_sha256} was released.",
            "Restore the release.",
        )
    return adapter, figures
