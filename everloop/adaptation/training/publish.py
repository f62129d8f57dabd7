"""What leaves a training: the one adapter, as PEFT reads it, and nothing else."""

from __future__ import annotations

import json
import math
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save

from everloop.contracts.documents import write_atomically
from everloop.contracts.errors import ShouldRestoreArtefact
from everloop.contracts.model_folders import folder_sha256
from everloop.contracts.speaking import AdapterFolder, BaseFolder

if TYPE_CHECKING:
    from peft import PeftModel

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"
TRAINED = "default"
"""PEFT's name of the adapter that learns; any other in the same model, such as a reference, stays out."""
_PREFIX = "base_model.model."
_REMEDY = "Train it again; what serves stays as it is."


def publish(model: PeftModel, base: BaseFolder, out: Path) -> AdapterFolder:
    """Write the trained adapter to ``out``, which it replaces, in float32; equal adapters, equal bytes.

    Raises:
        ShouldRestoreArtefact: the adapter may not be published; nothing was written.
    """
    config = model.peft_config[TRAINED].to_dict()
    config |= {"base_model_name_or_path": base.name, "revision": None, "inference_mode": True}
    return publish_tensors(trained_tensors(model), config, base, out)


def trained_tensors(model: PeftModel) -> dict[str, torch.Tensor]:
    """Name, without the adapter's, -> float32 tensor on the CPU."""
    from peft import get_peft_model_state_dict  # noqa: PLC0415

    state = get_peft_model_state_dict(model, adapter_name=TRAINED, save_embedding_layers=False)
    return {
        name: tensor.detach().to("cpu", torch.float32).contiguous()
        for name, tensor in sorted(state.items())
    }


def publish_tensors(
    tensors: Mapping[str, torch.Tensor], config: Mapping[str, Any], base: BaseFolder, out: Path
) -> AdapterFolder:
    """As ``publish``, of tensors and a configuration."""
    out.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}."))
    try:
        write_atomically(save(dict(tensors), metadata={"format": "pt"}), made / WEIGHTS)
        document = json.dumps(_plain(config), indent=2, sort_keys=True)
        write_atomically(document.encode(), made / CONFIG)
        require_published(adapter_folder(made), base)
        if out.exists():
            shutil.rmtree(out)
        made.rename(out)
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return adapter_folder(out)


def adapter_folder(path: Path) -> AdapterFolder:
    """A published folder with its checksum; the version is the checksum's first 12 digits."""
    sha256 = folder_sha256(path)
    return AdapterFolder(sha256[:12], path, sha256)


def require_published(folder: AdapterFolder, base: BaseFolder) -> None:
    """Read what was published and refuse what may not serve.

    Raises:
        ShouldRestoreArtefact: a file that is no adapter's, a tensor of a reference, one that is not
            finite, one that the base has no place for, or a base that is named by a path.
    """
    names = sorted(path.name for path in folder.path.iterdir())
    if names != [CONFIG, WEIGHTS]:
        raise ShouldRestoreArtefact(f"{folder.path} holds {names}, not an adapter alone.", _REMEDY)
    named = json.loads((folder.path / CONFIG).read_text())["base_model_name_or_path"]
    if named != base.name:
        raise ShouldRestoreArtefact(f"{folder.path} sits on {named!r}, not {base.name!r}.", _REMEDY)
    shapes = _shapes(base)
    halves: dict[str, dict[str, tuple[int, ...]]] = {}
    for name, tensor in load_file(folder.path / WEIGHTS).items():
        module, _, half = name.removeprefix(_PREFIX).rpartition(".lora_")
        if f"{module}.weight" not in shapes or half not in ("A.weight", "B.weight"):
            raise ShouldRestoreArtefact(f"{folder.path}: {base.name} has no {name}.", _REMEDY)
        if not bool(torch.isfinite(tensor).all()):
            raise ShouldRestoreArtefact(f"{folder.path}: {name} is not finite.", _REMEDY)
        halves.setdefault(module, {})[half[0]] = tuple(tensor.shape)
    if not halves:
        raise ShouldRestoreArtefact(f"{folder.path} holds no tensor.", _REMEDY)
    for module, pair in halves.items():
        rows, columns = shapes[f"{module}.weight"]
        if set(pair) != {"A", "B"} or (pair["B"][0], pair["A"][1]) != (rows, columns):
            raise ShouldRestoreArtefact(
                f"{folder.path}: {module} has {pair}, and {base.name} needs ({rows}, {columns}).",
                _REMEDY,
            )


def distance(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> float:
    """Euclidean norm of the difference of two adapters; the same names in both."""
    squares = (
        (tensor.double() - other[name].double()).square().sum() for name, tensor in one.items()
    )
    return math.sqrt(float(sum(squares)))


def _shapes(base: BaseFolder) -> dict[str, tuple[int, ...]]:
    """Name -> shape of the base's matrices, read from the headers alone."""
    shapes: dict[str, tuple[int, ...]] = {}
    for path in sorted(base.path.glob("*.safetensors")):
        with safe_open(path, framework="pt") as file:
            for name in file.keys():  # noqa: SIM118
                shape = tuple(file.get_slice(name).get_shape())
                if len(shape) == 2:
                    shapes[name] = shape
    return shapes


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, set | frozenset):
        return sorted(value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
