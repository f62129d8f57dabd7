"""A product that calls a service loads no training code."""

from __future__ import annotations

import subprocess
import sys

import pytest

from everloop import sdk

HEAVY = {"fastapi", "great_expectations", "kfp", "numpy", "opacus", "pandas", "pyarrow", "pydantic"}
HEAVY |= {"ray", "scipy", "sqlalchemy", "torch", "uvicorn"}


def loaded(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(*sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(shown.stdout.split())


def test_the_client_is_light() -> None:
    modules = loaded("from everloop.sdk import Client, AsyncClient, EpisodeRecord, event_id")
    assert {name.split(".")[0] for name in modules} & HEAVY == set()
    ours = {name for name in modules if name.startswith("everloop.")}
    assert {n for n in ours if not n.startswith(("everloop.contracts", "everloop.sdk"))} == set()
    assert "everloop.sdk.client" in ours
    assert "everloop.sdk.daily" not in ours


def test_the_package_alone_loads_nothing() -> None:
    ours = {n for n in loaded("import everloop.sdk") if n.startswith("everloop")}
    assert ours == {"everloop", "everloop.sdk"}


@pytest.mark.parametrize("name", sdk.__all__)
def test_every_name_is_there(name: str) -> None:
    assert getattr(sdk, name).__name__ == name
    assert name in dir(sdk)


def test_other_names_are_not() -> None:
    with pytest.raises(AttributeError, match="nothing_such"):
        _ = sdk.nothing_such
