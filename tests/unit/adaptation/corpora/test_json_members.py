"""Members of a large JSON object, one at a time."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.adaptation.corpora import json_members as module
from everloop.adaptation.corpora.json_members import json_members
from everloop.contracts.errors import ShouldRestoreArtefact

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(deadline=None)
@given(st.dictionaries(st.text(max_size=6), _JSON, max_size=6), st.integers(1, 40), st.booleans())
def test_as_json_loads_reads_it(told: dict[str, object], chunk: int, indented: bool) -> None:
    text = json.dumps(told, indent=2 if indented else None, ensure_ascii=chunk % 2 == 0)
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_CHUNK", chunk)
        path = Path(folder) / "a.json"
        path.write_text(text, encoding="utf-8", errors="surrogatepass")
        assert list(json_members(path)) == list(told.items())


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"a" 1}', '{"a": 1', '{"a": 1,', '{"a": 1 "b": 2}', "{1: 2}"],
)
def test_what_is_no_object_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(ShouldRestoreArtefact, match="JSON object"):
        list(json_members(path))
