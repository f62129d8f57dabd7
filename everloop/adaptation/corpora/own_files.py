"""Where the conversations that everloop's authors wrote are."""

from pathlib import Path

_FOLDER = Path(__file__).parent.parent / "own"
OWN_FILE = _FOLDER / "own.jsonl"
GOLDEN_FILE = _FOLDER / "golden.jsonl"
