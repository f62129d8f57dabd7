"""What a stopped training of a voice left goes with the next erasure."""

from __future__ import annotations

from pathlib import Path

from everloop.storage.local.erased_artefacts import ErasedArtefacts, HeldFiles


def test_an_erasure_takes_what_stopped_trainings_left(tmp_path: Path) -> None:
    kept = tmp_path / "training/0123456789abcdef/weights.safetensors"
    gone = [
        tmp_path / "training/voice-adapter-0123456789abcdef/supervised/work/rows.arrow",
        tmp_path / "training/voice-scorer-0123456789abcdef/rows.arrow",
        tmp_path / "training/sandbox-0123456789abcdef/journal.jsonl",
    ]
    for path in (kept, *gone):
        path.parent.mkdir(parents=True)
        path.write_bytes(b"somebody's words")
    held = ErasedArtefacts(tmp_path)
    held.note("e1", HeldFiles())
    held.finish(lambda _: False)
    assert all(path.exists() for path in gone)
    held.finish(lambda _: True)
    assert not any(path.exists() for path in gone)
    assert kept.exists()
