"""Corpora in JSON Lines: both shapes, gzip, errors with file and line, a million rows in bounded memory."""

from __future__ import annotations

import contextlib
import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.adaptation.categorising import is_unnamed
from everloop.adaptation.corpora import stream
from everloop.adaptation.corpora.json_lines import _row, json_line_rows
from everloop.contracts.errors import ShouldFixInput, ShouldFixLoopSpec, ShouldRestoreArtefact
from everloop.contracts.voice_spec import Category, CorpusSpec
from everloop.contracts.voices import Message, SourceType

CHAT = {
    "messages": [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Hello?"},
        {"role": "assistant", "content": "Hi."},
        {"role": "user", "content": "And now?"},
        {"role": "assistant", "content": "Now we talk."},
    ],
    "category": "conversational",
}
INSTRUCTION = {
    "instruction": "Sum these.",
    "input": "1 and 2",
    "output": "3",
    "_source": "sums_of_old",
    "_category": "analytical",
}


def spec_of(path: Path, **more: object) -> CorpusSpec:
    return CorpusSpec.model_validate(
        {"name": "mine", "source": str(path), "license": "CC0-1.0", **more}
    )


def written(path: Path, *rows: object) -> Path:
    data = "\n".join(json.dumps(row) for row in rows).encode() + b"\n"
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz"])
def test_both_shapes_become_instances(tmp_path: Path, name: str) -> None:
    chat, told = stream(spec_of(written(tmp_path / name, CHAT, INSTRUCTION)), seed=1)
    assert [turn.role for turn in chat.prompt] == ["system", "user", "assistant", "user"]
    assert chat.completion == "Now we talk."
    assert (chat.source_type, chat.user_id) == (SourceType.CORPUS, None)
    assert told.prompt == (Message("user", "Sum these.\n\n1 and 2"),)
    assert (told.completion, told.category) == ("3", Category.ANALYTICAL)
    assert told.source_ids == (f"mine/{name}:2",)
    assert told.metadata == {"corpus": "mine", "source": "sums_of_old", "license": "CC0-1.0"}


def test_metadata_reaches_no_text(tmp_path: Path) -> None:
    (told,) = stream(spec_of(written(tmp_path / "a.jsonl", INSTRUCTION)), seed=1)
    texts = " ".join((*(turn.content for turn in told.prompt), told.completion))
    for hidden in ("sums_of_old", "analytical", "CC0", "mine"):
        assert hidden not in texts


def test_another_categorys_word_counts_as_none(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", {**INSTRUCTION, "_category": "psychology_emotional"})
    (told,) = stream(spec_of(path, category="empathetic"), seed=1)
    assert told.category is Category.EMPATHETIC


def turns_of(*roles: str) -> bytes:
    return json.dumps({"messages": [{"role": role, "content": "a"} for role in roles]}).encode()


def test_what_nobody_named_is_known(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", INSTRUCTION, {**INSTRUCTION, "_category": ""})
    named, unnamed = stream(spec_of(path), 1)
    assert (is_unnamed(named), is_unnamed(unnamed)) == (False, True)
    assert unnamed.category is Category.CONVERSATIONAL
    assert not any(map(is_unnamed, stream(spec_of(path, category="tool"), 1)))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"{", "no JSON"),
        (b"\xff\xfe", "no JSON"),
        (b"[]", "valid dictionary"),
        (b'{"instruction": "a"}', "output"),
        (b'{"messages": [{"role": "user", "content": "a"}]}', "messages"),
        (turns_of("user", "oracle"), "role"),
        (turns_of("assistant", "user"), "answer"),
        (b'{"instruction": " ", "output": "b"}', "empty"),
        (b"[" * 100_000, "no JSON"),
    ],
)
def test_malformed_rows_name_file_and_line(tmp_path: Path, line: bytes, said: str) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(json.dumps(CHAT).encode() + b"\n\n" + line + b"\n")
    rows = json_line_rows(path)
    assert next(rows).row_id == "a.jsonl:1"
    with pytest.raises(ShouldFixInput, match=rf"a\.jsonl:3: .*{said}"):
        next(rows)


@given(st.binary(max_size=200))
def test_any_line_is_a_row_or_our_error(line: bytes) -> None:
    with contextlib.suppress(ShouldFixInput):
        assert _row(line, "file:1").turns[-1].role == "assistant"


def test_missing_and_torn_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ShouldRestoreArtefact, match="absent"):
        list(json_line_rows(tmp_path / "absent.jsonl"))
    whole = written(tmp_path / "a.jsonl.gz", *[CHAT] * 50).read_bytes()
    torn = tmp_path / "b.jsonl.gz"
    torn.write_bytes(whole[:-20])
    with pytest.raises(ShouldRestoreArtefact, match="cannot be read"):
        list(json_line_rows(torn))


def test_a_sample_is_uniform_ordered_and_repeatable(tmp_path: Path) -> None:
    rows = [{**INSTRUCTION, "output": str(number)} for number in range(20)]
    path = written(tmp_path / "a.jsonl", *rows)
    counts = [0] * 20
    for seed in range(400):
        drawn = [int(row.completion) for row in stream(spec_of(path, max_rows=5), seed)]
        assert drawn == sorted(set(drawn))
        assert len(drawn) == 5
        for number in drawn:
            counts[number] += 1
    # 400 draws at 1/4: mean 100, standard deviation 8.7.
    assert all(60 < count < 140 for count in counts)
    spec = spec_of(path, max_rows=5)
    assert list(stream(spec, 3)) == list(stream(spec, 3))
    assert len(list(stream(spec_of(path, max_rows=50), 3))) == 20


def test_no_licence_no_corpus(tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", CHAT)
    with pytest.raises(ShouldFixLoopSpec, match="no licence"):
        stream(spec_of(path, license=" "), seed=1)
    with pytest.raises(ShouldFixLoopSpec, match="nobody_knows"):
        stream(CorpusSpec(name="x", source="wheel:nobody_knows", license="MIT"), seed=1)


_COUNT = """
import resource, sys
from everloop.adaptation.corpora import stream
from everloop.contracts.voice_spec import CorpusSpec
spec = CorpusSpec(name="big", source=sys.argv[1], license="CC0-1.0")
rows = stream(spec, 1)
next(rows)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
count = 1 + sum(1 for _ in rows)
print(count, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.slow
def test_a_million_rows_take_no_more_memory_than_one(tmp_path: Path) -> None:
    path = tmp_path / "big.jsonl.gz"
    with gzip.open(path, "wt", compresslevel=1) as stream_out:
        for number in range(1_000_000):
            stream_out.write(
                json.dumps({**INSTRUCTION, "input": f"{number} and 2", "output": f"{number + 2}"})
                + "\n"
            )
    done = subprocess.run(
        [sys.executable, "-c", _COUNT, str(path)], capture_output=True, text=True, check=True
    )
    count, kilobytes = map(int, done.stdout.split())
    assert count == 1_000_000
    assert kilobytes < 20_000
