"""Adapters as they are published: plain LoRA in two files, verified, and fitting their base.

``y = W x + (alpha / r) B A x`` (Hu et al. 2021, arXiv:2106.09685) for every module that it names; with
``use_rslora`` the factor is ``alpha / sqrt(r)``. Whatever else PEFT knows is refused (``adapter_config``).
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file

from everloop.contracts import documents
from everloop.contracts.errors import ShouldFixArgument, ShouldFreeDisk, ShouldRestoreArtefact
from everloop.contracts.model_folders import folder_sha256
from everloop.contracts.models import ModelCheckpoint
from everloop.contracts.speaking import AdapterFolder, BaseFolder
from everloop.speaking.adapter_config import rank_and_scale
from everloop.speaking.pickles import require_no_pickle

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"
ADAPTER_FILES = (CONFIG, WEIGHTS)
"""All that an adapter's folder holds."""
BASE_LINEAGE = "base"
"""Lineage of a registered adapter: SHA-256 of the base that it was trained and tried on."""
_MOST_CONFIG = 64 * 1024
_MOST_HEADER = 1024 * 1024
"""Bytes of a configuration, and of what says where a tensor lies: neither is read beyond."""
_WIDEST = 8
"""Bytes of an entry of a tensor."""
_PREFIX = "base_model.model."
_REMEDY = "Train it again, or restore it from a backup; what serves stays as it is."


@dataclass(frozen=True, slots=True)
class AdapterWeights:
    """An adapter in memory.

    ``modules``: the module's name in the base -> (A of shape (r, in), B of shape (out, r)), float32;
    ``scale`` multiplies ``B A x``.
    """

    version: str
    sha256: str
    modules: Mapping[str, tuple[torch.Tensor, torch.Tensor]]
    scale: float


def open_adapter(
    path: Path, base: BaseFolder, version: str = "", expected_sha256: str | None = None
) -> AdapterFolder:
    """A folder that holds one adapter for this base; ``version`` is the checksum's first 12 digits where
    it is not given.

    Raises:
        ShouldRestoreArtefact: a file is missing, too many or damaged, the adapter is no plain LoRA, a
            tensor has no place in the base, another shape than the base needs, or is not finite.
        ShouldFixArgument: the folder holds a pickle.
    """
    require_no_pickle(path)
    sha256 = folder_sha256(path)
    folder = AdapterFolder(version or sha256[:12], path, expected_sha256 or sha256)
    read_adapter(folder, base)
    return folder


def read_adapter(folder: AdapterFolder, base: BaseFolder) -> AdapterWeights:
    """An adapter's tensors; raises as ``open_adapter`` does."""
    found = folder_sha256(folder.path)
    if found != folder.sha256:
        raise _refused(folder, f"its SHA-256 is {found}, not {folder.sha256}")
    names = sorted(path.name for path in folder.path.iterdir())
    if names != [CONFIG, WEIGHTS]:
        raise _refused(folder, f"it holds {', '.join(names)}, not {CONFIG} and {WEIGHTS} alone")
    rank, scale = _shape_told(folder)
    shapes = matrix_shapes(base)
    _require_small(folder, rank, shapes)
    modules = _pairs(folder)
    for name, (down, up) in modules.items():
        wanted = shapes.get(f"{name}.weight")
        if wanted is None:
            raise _refused(folder, f"{base.name} has no module {name}")
        rows, columns = wanted
        if tuple(down.shape) != (rank, columns) or tuple(up.shape) != (rows, rank):
            raise _refused(
                folder,
                f"{name} has A {tuple(down.shape)} and B {tuple(up.shape)}, and {base.name} needs "
                f"({rank}, {columns}) and ({rows}, {rank})",
            )
    return AdapterWeights(folder.version, folder.sha256, modules, scale)


def adapter_files(folder: AdapterFolder) -> dict[str, Path]:
    """What a registry stores by content: file name -> path. The served one is ``WEIGHTS``."""
    return {name: folder.path / name for name in ADAPTER_FILES}


def require_base(checkpoint: ModelCheckpoint, base: BaseFolder) -> None:
    """Let a registered adapter speak on its own base alone: another one with the same shapes takes its
    weights, and says what nobody tried.

    Raises:
        ShouldFixArgument: it was trained on another base, or nobody wrote down on which.
    """
    trained_on = checkpoint.lineage.get(BASE_LINEAGE)
    if trained_on == base.sha256:
        return
    version = checkpoint.lineage.get("version") or checkpoint.checkpoint_id
    where = "an unknown base" if trained_on is None else f"base {trained_on}"
    raise ShouldFixArgument(
        f"Adapter {version} was trained on {where}, not on {base.name} with SHA-256 {base.sha256}.",
        "Restore voice.base as it was, roll the adapter back, or teach the other base in a loop of its "
        "own.",
    )


def unpack_adapter(
    files: Mapping[str, Path], base: BaseFolder, version: str, cache: Path
) -> AdapterFolder:
    """A registered adapter's files, which blobs hold under other names, as a folder below ``cache``.

    Args:
        files: file name -> path, verified by whoever fetched them; others than an adapter's stay out.
        version: what its answers will carry; the folder is named by it.

    Raises:
        ShouldRestoreArtefact: a file is missing, or as ``open_adapter``.
        ShouldFreeDisk: it did not fit; nothing is left of it.
    """
    missing = [name for name in ADAPTER_FILES if name not in files]
    if missing:
        raise ShouldRestoreArtefact(
            f"Adapter {version} has no file {', '.join(missing)}.", "Register it with both files."
        )
    sums = {name: documents.sha256_of(files[name]) for name in ADAPTER_FILES}
    target = cache / f"{sums[WEIGHTS][:16]}-{sums[CONFIG][:16]}"
    if not target.is_dir():
        _copy(files, target)
    return open_adapter(target, base, version)


def matrix_shapes(base: BaseFolder) -> dict[str, tuple[int, int]]:
    """Name -> (out, in) of the base's matrices, read from the headers alone."""
    shapes: dict[str, tuple[int, int]] = {}
    for path in sorted(base.path.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118  # it is no mapping
                shape = file.get_slice(name).get_shape()
                if len(shape) == 2:
                    shapes[name] = (shape[0], shape[1])
    return shapes


def _copy(files: Mapping[str, Path], target: Path) -> None:
    partial: Path | None = None
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        for name in ADAPTER_FILES:
            shutil.copyfile(files[name], partial / name)
        if not target.is_dir():
            partial.rename(target)
    except OSError as problem:
        if target.is_dir():  # another process was quicker; it is verified by whoever opens it
            return
        if documents.is_full_disk(problem):
            raise ShouldFreeDisk(
                f"No room for an adapter in {target.parent}.", "Free disk space and repeat."
            ) from problem
        raise
    finally:
        if partial is not None:
            shutil.rmtree(partial, ignore_errors=True)


def _shape_told(folder: AdapterFolder) -> tuple[int, float]:
    try:
        with (folder.path / CONFIG).open("rb") as file:
            text = file.read(_MOST_CONFIG + 1)
        if len(text) > _MOST_CONFIG:
            raise ValueError(f"it has more than {_MOST_CONFIG} bytes")
        return rank_and_scale(text)
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as problem:
        raise _refused(folder, f"{CONFIG}: {problem!r}") from problem


def _require_small(folder: AdapterFolder, rank: int, shapes: Mapping[str, tuple[int, int]]) -> None:
    """Refuse weights that are more than one adapter of this rank for every matrix of the base, unread."""
    if rank > max((min(shape) for shape in shapes.values()), default=0):
        raise _refused(folder, f"its rank {rank} is above that of every matrix of the base")
    most = _MOST_HEADER + _WIDEST * rank * sum(sum(shape) for shape in shapes.values())
    size = (folder.path / WEIGHTS).stat().st_size
    if size > most:
        raise _refused(
            folder, f"{WEIGHTS} has {size} bytes, and rank {rank} needs no more than {most}"
        )


def _pairs(folder: AdapterFolder) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    try:
        tensors = load_file(folder.path / WEIGHTS)
    except (SafetensorError, OSError) as problem:
        raise _refused(folder, f"{WEIGHTS} cannot be read ({problem})") from problem
    halves: dict[str, dict[str, torch.Tensor]] = {}
    for name, tensor in tensors.items():
        module, _, half = name.removeprefix(_PREFIX).rpartition(".lora_")
        if not name.startswith(_PREFIX) or not module or half not in ("A.weight", "B.weight"):
            raise _refused(folder, f"{name} is no tensor of an adapter that speaks")
        if not bool(torch.isfinite(tensor).all()):
            raise _refused(folder, f"{name} is not finite")
        halves.setdefault(module, {})[half[0]] = tensor.to(torch.float32)
    lonely = [module for module, pair in halves.items() if len(pair) != 2]
    if lonely or not halves:
        raise _refused(folder, f"it lacks one half of {lonely or 'everything'}")
    return {module: (pair["A"], pair["B"]) for module, pair in sorted(halves.items())}


def _refused(folder: AdapterFolder, why: str) -> ShouldRestoreArtefact:
    return ShouldRestoreArtefact(f"Adapter {folder.version} in {folder.path}: {why}.", _REMEDY)
