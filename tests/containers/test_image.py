"""What the image holds, who may run it, and what building it again changes."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from packaging.utils import canonicalize_name

from tests.containers.conftest import Image

pytestmark = [pytest.mark.containers, pytest.mark.timeout(1800)]

LISTED = (
    "import json; from importlib.metadata import distributions;"
    "print(json.dumps({d.name: d.version for d in distributions()}))"
)


def inside(client: Any, image: Image, *command: str, **given: Any) -> str:
    """What a command prints in a container of the image, without a network."""
    output = client.containers.run(
        image.tag, list(command), network_mode="none", remove=True, **given
    )
    return str(output.decode())


def exact(path: Path) -> dict[str, str]:
    lines = (line.split("==") for line in path.read_text().split())
    return {canonicalize_name(name): version for name, version in lines}


@pytest.fixture(scope="module")
def installed(client: Any, image: Image) -> dict[str, str]:
    told = json.loads(inside(client, image, "python3", "-c", LISTED))
    return {canonicalize_name(name): version.split("+")[0] for name, version in told.items()}


def test_it_holds_the_locks_packages_and_ours_and_no_other(
    installed: dict[str, str], image: Image
) -> None:
    lock = exact(image.tree / "requirements.lock")
    ours = installed.pop("everloop")
    assert image.tag == f"everloop-python:{ours}"
    assert installed == exact(image.tree / "infra/docker/requirements.txt")
    assert {name: lock[name] for name in installed} == installed


def test_its_bill_of_materials_is_what_is_installed(
    client: Any, image: Image, installed: dict[str, str]
) -> None:
    bill = json.loads(inside(client, image, "cat", "/usr/share/everloop/sbom.cdx.json"))
    assert bill["bomFormat"] == "CycloneDX"
    listed = {
        canonicalize_name(part["name"]): part["version"].split("+")[0]
        for part in [*bill["components"], bill["metadata"]["component"]]
    }
    assert {**installed, **listed} == listed
    assert set(listed) == {*installed, "everloop"}
    (copied_out,) = (image.tree / "build").glob("*.sbom.cdx.json")
    assert json.loads(copied_out.read_text()) == bill


def test_its_labels_and_user(image: Image) -> None:
    config = image.attributes["Config"]
    labels = {n.removeprefix("org.opencontainers.image."): v for n, v in config["Labels"].items()}
    assert labels["version"] == image.tag.partition(":")[2]
    assert labels["licenses"] == "Apache-2.0"
    assert len(labels["created"]) == len("2026-01-01T00:00:00Z")
    assert labels["revision"]
    assert config["User"].split(":")[0].isdecimal()
    assert config["User"] != "0:0"


@pytest.mark.parametrize("user", ["10001:10001", "54321:12345"])
def test_anybody_may_run_it_and_write_to_the_workspace_alone(
    client: Any, image: Image, user: str
) -> None:
    code = (
        "import getpass, os, pathlib, tempfile, warnings; warnings.simplefilter('error', UserWarning)\n"
        "pathlib.Path('/workspace/mine').write_text('x'); tempfile.TemporaryFile(); getpass.getuser()\n"
        "import matplotlib.pyplot, onnxruntime, torch, duckdb\n"
        "for place in ('/opt/everloop/lib', '/opt/everloop/bin', '/usr', '/etc'):\n"
        "    assert not os.access(place, os.W_OK), place\n"
        "print(os.getuid(), torch.ones(2).sum().item())"
    )
    told = inside(client, image, "python3", "-c", code, user=user, cap_drop=["ALL"])
    assert told.split()[-2:] == [user.split(":", maxsplit=1)[0], "2.0"]


def test_a_shell_is_there_and_every_module_is_compiled(client: Any, image: Image) -> None:
    code = (
        "import importlib.util as u, pathlib\n"
        "for top in ('everloop', 'components', 'rl', 'torch/nn', 'ray/rllib', 'kfp'):\n"
        "    root = pathlib.Path('/opt/everloop/lib/python3.11/site-packages', top)\n"
        "    found = [p for p in root.rglob('*.py')]\n"
        "    bare = [p for p in found if not pathlib.Path(u.cache_from_source(p)).exists()]\n"
        "    print(top, len(found) > 5, len(bare))"
    )
    lines = inside(client, image, "sh", "-ec", f"python3 - <<'X'\n{code}\nX").splitlines()
    assert [line.split()[1:] for line in lines] == [["True", "0"]] * 6


def test_it_holds_no_key_no_history_and_no_test(client: Any, image: Image) -> None:
    found = inside(
        client,
        image,
        "sh",
        "-c",
        "find / -xdev \\( -name secrets.env -o -name .git -o -name '*.whl' -o -name conftest.py"
        " -path '*everloop*' \\) -not -path '/proc/*' 2>/dev/null | grep -v site-packages || true",
    )
    assert found.split() == []


def test_a_change_of_code_makes_the_last_layers_anew(image: Image) -> None:
    old, new = (a["RootFS"]["Layers"] for a in (image.before, image.attributes))
    assert len(old) == len(new)
    assert old[:-1] == new[:-1]
    assert old[-1] != new[-1]


def _health(container: Any, wanted: str) -> str:
    until = time.monotonic() + 180
    while True:
        container.reload()
        state = container.attrs["State"]
        if state["Health"]["Status"] == wanted or not state["Running"] or time.monotonic() > until:
            return str(state["Health"]["Status"])
        time.sleep(0.5)


@pytest.mark.parametrize(
    ("command", "status"),
    [("everloop init && exec everloop serve", "healthy"), ("sleep 100", "unhealthy")],
)
def test_its_health_check_asks_the_service(
    client: Any, image: Image, command: str, status: str
) -> None:
    second = 1_000_000_000
    check = {**image.attributes["Config"]["Healthcheck"], "Interval": 2 * second, "Retries": 60}
    if status == "unhealthy":
        check |= {"Retries": 2, "StartPeriod": second}
    container = client.containers.run(
        image.tag,
        ["sh", "-c", command],
        detach=True,
        network_mode="none",
        user="54321:12345",
        healthcheck={n[0].lower() + n[1:]: v for n, v in check.items()}
        | {"start_period": check["StartPeriod"]},
    )
    try:
        assert _health(container, status) == status, container.logs().decode()
    finally:
        container.remove(force=True)
