"""Folders of weights hold no file whose loading runs code."""

from __future__ import annotations

from pathlib import Path

from everloop.contracts.errors import ShouldFixArgument, ShouldRestoreArtefact

PICKLED = frozenset({".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib"})


def require_no_pickle(folder: Path) -> None:
    """Refuse a folder with a pickle anywhere in it.

    Raises:
        ShouldFixArgument: naming the file.
        ShouldRestoreArtefact: there is no such folder.
    """
    if not folder.is_dir():
        raise ShouldRestoreArtefact(f"There is no folder {folder}.", "Name one that exists.")
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in PICKLED:
            raise ShouldFixArgument(
                f"{path} is a pickle: loading it runs whatever is in it.",
                "Give the weights as safetensors and take this file away.",
            )
