"""A graph is one text and comes back from it; a changed byte is told."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.contracts.errors import ShouldFixArgument, ShouldRestoreArtefact
from everloop.contracts.personas import (
    Exemplar,
    MemoryItem,
    PersonaGraph,
    PersonaRevision,
    TraitValue,
)
from everloop.loops import load
from everloop.persona.graph import content_of, first_graph, graph_of, joined
from everloop.persona.prompt_artefact import read_prompt, write_prompt

_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_SHARE = st.floats(-1, 1)
GRAPHS = st.builds(
    PersonaGraph,
    persona=_TEXT,
    traits=st.lists(
        st.builds(
            TraitValue,
            name=_TEXT,
            value=_SHARE,
            recent=st.lists(_SHARE, max_size=3).map(tuple),
            moved=_SHARE,
            cycle_began=_TEXT,
        ),
        max_size=3,
    ).map(tuple),
    exemplars=st.lists(
        st.builds(
            Exemplar, asked=_TEXT, answered=_TEXT, source_id=_TEXT, user_id=st.none() | _TEXT
        ),
        max_size=2,
    ).map(tuple),
    memory=st.lists(
        st.builds(MemoryItem, text=_TEXT, source_id=_TEXT, user_id=st.none() | _TEXT), max_size=2
    ).map(tuple),
    user_id=st.none() | _TEXT,
    tenant=_TEXT,
)


@settings(max_examples=60, deadline=None)
@given(graph=GRAPHS)
def test_a_graph_comes_back_and_its_bytes_too(graph: PersonaGraph) -> None:
    content = content_of(graph)
    assert graph_of(content) == graph
    assert content_of(graph_of(content)) == content


def test_the_bytes_of_a_graph_are_these() -> None:
    graph = PersonaGraph(
        "companion",
        (TraitValue("warmth", 1, (0.25,), 0.5, "2026-03-01T00:00:00+00:00"),),
        (Exemplar("a", "b", "f1", "p"),),
        (MemoryItem("c", "f2"),),
    )
    assert content_of(graph) == (
        b'{"exemplars":[{"answered":"b","asked":"a","source_id":"f1","user_id":"p"}],'
        b'"memory":[{"source_id":"f2","text":"c","user_id":null}],"persona":"companion",'
        b'"schema_version":1,"tenant":"default","traits":[{"cycle_began":'
        b'"2026-03-01T00:00:00+00:00","moved":0.5,"name":"warmth","recent":[0.25],"value":1.0}],'
        b'"user_id":null}'
    )


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b'{"persona":"p","traits":[{"name":"t","value":2.0}]}',
        b'{"persona":"p"}',
        content_of(PersonaGraph("p")) + b"\n",
        content_of(PersonaGraph("p")).replace(b":1,", b": 1,"),
    ],
)
def test_other_bytes_are_refused(content: bytes) -> None:
    with pytest.raises(ShouldRestoreArtefact):
        graph_of(content)


def test_the_companion_begins_with_its_traits_at_rest() -> None:
    voice = load("companion").voice
    assert voice is not None
    graph = first_graph(voice)
    assert [t.name for t in graph.traits] == [t.name for t in voice.traits]
    assert {t.value for t in graph.traits} == {0.0}


def test_a_persons_own_items_join_the_personas() -> None:
    shared = PersonaGraph("p", memory=(MemoryItem("a", "1"),))
    own = PersonaGraph("p", memory=(MemoryItem("b", "2", "ann"),), user_id="ann")
    assert [item.text for item in joined(shared, own).memory] == ["a", "b"]
    assert joined(shared, None) is shared
    with pytest.raises(ShouldFixArgument, match="do not belong together"):
        joined(shared, PersonaGraph("q"))


def test_a_revision_as_a_file_is_verified(tmp_path: Path) -> None:
    graph = PersonaGraph("p", (TraitValue("warmth", 0.5),))
    revision = PersonaRevision(1, "p", content_of(graph), "me", "why", datetime.now(UTC))
    path = write_prompt(revision, tmp_path)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == revision.sha256
    assert read_prompt(path, revision.sha256) == graph
    path.write_bytes(path.read_bytes().replace(b"0.5", b"0.6"))
    with pytest.raises(ShouldRestoreArtefact, match="checksum"):
        read_prompt(path, revision.sha256)
    with pytest.raises(ShouldRestoreArtefact, match="cannot be read"):
        read_prompt(tmp_path / "gone.json", revision.sha256)
