"""The real ``kfp.Client`` against a fake of its REST API: bodies, failures, and nothing made twice."""

from __future__ import annotations

import io
import ssl
import threading
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from kfp.client import client as kfp_client

from everloop.contracts.errors import (
    EverloopError,
    ShouldAskForScope,
    ShouldAuthenticate,
    ShouldFixArgument,
    ShouldFixPlatform,
    ShouldNameKnownId,
    ShouldProvideKey,
    ShouldResolveConflict,
    ShouldRetryLater,
)
from everloop.sdk.kubeflow.client import Kubeflow
from everloop.sdk.kubeflow.connection import links_aside
from everloop.sdk.kubeflow.failures import Attempts
from everloop.sdk.kubeflow.records import RunRequest, RunState
from tests.fake_kubeflow import kubeflow
from tests.unit.sdk.kubeflow.conftest import NEVER_ANSWERED, World

Requests = Callable[..., RunRequest]


def test_a_run_is_submitted_by_version_with_exactly_this_body(
    world: World, request_of: Requests
) -> None:
    run = world.client().submit(request_of())
    (version,) = world.fake.versions
    (experiment,) = world.fake.experiments
    (sent,) = world.fake.seen("POST", "/runs$")
    assert sent.body == {
        "display_name": "walk-daily-learning-2026-03-28-abcd",
        "experiment_id": experiment["experiment_id"],
        "pipeline_version_reference": {
            "pipeline_id": version["pipeline_id"],
            "pipeline_version_id": version["pipeline_version_id"],
        },
        "runtime_config": {
            "parameters": {"product": "{}", "logical_date": "2026-03-28"},
            "pipeline_root": "gs://bucket/root",
        },
        "service_account": "robot",
    }
    assert (run.new, run.state) == (True, RunState.PENDING)
    assert run.url == f"{world.fake.url}/#/runs/details/{run.run_id}"
    assert world.fake.seen("POST", "/experiments$")[0].body == {
        "display_name": "everloop",
        "namespace": "",
    }
    assert world.fake.packages[version["pipeline_version_id"]].startswith("pipelineInfo")


def test_the_same_version_is_sent_once_and_another_beside_it(
    world: World, request_of: Requests
) -> None:
    client, package = world.client(), str(request_of().package)
    first = client.upload("daily-learning", package, "v1")
    again = world.client().upload("daily-learning", package, "v1")
    other = client.upload("daily-learning", package, "v2")
    assert (first.new, again.new, other.new) == (True, False, True)
    assert first.version_id == again.version_id != other.version_id
    assert len(world.fake.pipelines) == 1
    assert [v["display_name"] for v in world.fake.versions] == ["v1", "v2"]


def test_a_question_asked_again_is_the_same_run_and_a_failed_one_gets_another_attempt(
    world: World, request_of: Requests
) -> None:
    client = world.client()
    first = client.submit(request_of())
    for state in ("PENDING", "RUNNING", "SUCCEEDED"):
        world.fake.move(first.run_id, state)
        again = world.client().submit(request_of())
        assert (again.run_id, again.new) == (first.run_id, False)
    world.fake.move(first.run_id, "FAILED", error="out of memory")
    second = client.submit(request_of())
    assert second.name == f"{first.name}-2"
    world.fake.move(second.run_id, "CANCELED")
    assert client.submit(request_of()).name == f"{first.name}-3"
    assert client.submit(request_of()).new is False
    assert client.run(first.run_id).error == "out of memory"


@pytest.mark.parametrize("how", ["lose", "slow"])
def test_a_lost_answer_does_not_submit_twice(world: World, request_of: Requests, how: str) -> None:
    client = world.client()
    for path in ("/experiments$", "/pipelines$", "/upload_version$", "/runs$"):
        world.fake.fail("POST", path, how, seconds=NEVER_ANSWERED[1] * 2)
    run = client.submit(request_of())
    fake = world.fake
    assert [len(kept) for kept in (fake.experiments, fake.pipelines, fake.versions, fake.runs)] == [
        1
    ] * 4
    assert fake.runs[0]["run_id"] == run.run_id
    assert len(fake.seen("POST", "/runs$")) == 1


@pytest.mark.parametrize("how", ["drop", 500, 503, 429])
def test_what_was_not_accepted_is_sent_again(
    world: World, request_of: Requests, how: int | str
) -> None:
    client = world.client()
    world.fake.fail("POST", "/runs$", how, times=2)
    world.fake.fail("GET", "/runs", how, times=1)
    client.submit(request_of())
    assert len(world.fake.runs) == 1
    assert len(world.fake.seen("POST", "/runs$")) == 3
    assert len([pause for pause in world.pauses if pause]) == 3


@pytest.mark.parametrize("one_second", [False, True])
def test_of_runs_that_two_submit_at_once_one_goes_on(
    world: World, request_of: Requests, one_second: bool
) -> None:
    world.fake.one_second = one_second
    clients = [world.client() for _ in range(2)]
    for client in clients:
        client.experiment()
    both = threading.Barrier(2, timeout=20)
    found: list[str] = []

    def work(client: Kubeflow) -> None:
        make = client.make

        def late(what: str, look: Callable[[], object], call: Callable[[], object]) -> object:
            if what.startswith("Submitting"):
                both.wait()
            return make(what, look, call)

        client.make = late  # type: ignore[assignment, method-assign]
        found.append(client.submit(request_of()).run_id)

    threads = [threading.Thread(target=work, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    standing = [r["run_id"] for r in world.fake.runs if r["state"] == "PENDING"]
    assert len(world.fake.runs) == 2
    assert len(standing) == 1
    assert set(found) == set(standing) or one_second  # no second has passed here, see SETTLE_S
    assert client_finds(world, request_of) == standing[0]


def client_finds(world: World, request_of: Requests) -> str:
    again = world.client().submit(request_of())
    assert not again.new
    return again.run_id


def test_a_new_run_waits_until_the_second_of_its_making_is_over(
    world: World, request_of: Requests, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("everloop.sdk.kubeflow.client.SETTLE_S", 1.1)
    world.client().submit(request_of())
    assert world.pauses == [1.1]
    world.client().submit(request_of())
    assert world.pauses == [1.1]


def test_a_jobs_run_that_somebody_ended_stays_ended(world: World, request_of: Requests) -> None:
    asked = replace(request_of(), job=True)
    first = world.client().submit(asked)
    world.fake.move(first.run_id, "CANCELED")
    again = world.client().submit(asked)
    assert (again.run_id, again.state, again.new) == (first.run_id, RunState.CANCELED, False)
    world.fake.move(first.run_id, "FAILED")
    assert world.client().submit(asked).name == f"{first.name}-2"


def test_links_stay_aside_when_another_thread_is_done_with_them() -> None:
    inside, left = threading.Event(), threading.Event()
    out = io.StringIO()

    def work() -> None:
        with links_aside():
            inside.set()
            left.wait(20)
            getattr(kfp_client, "print", print)("Run details: http://look")

    with redirect_stdout(out):
        thread = threading.Thread(target=work)
        with links_aside():
            thread.start()
            inside.wait(20)
        left.set()
        thread.join()
        print("Run details: of ours")
    assert out.getvalue() == "Run details: of ours\n"


def test_two_at_once_make_one_of_each_but_runs_are_never_doubled_by_one(
    world: World, request_of: Requests
) -> None:
    clients = [world.client() for _ in range(4)]
    package = str(request_of().package)
    found: list[str] = []

    def work(client: Kubeflow) -> None:
        found.append(
            client.upload("daily-learning", package, "v1").version_id + client.experiment()
        )

    threads = [threading.Thread(target=work, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == 1
    assert (len(world.fake.pipelines), len(world.fake.experiments)) == (1, 1)


@pytest.mark.parametrize(
    ("status", "error", "fix"),
    [
        (400, ShouldFixArgument, "Correct"),
        (401, ShouldAuthenticate, "EVERLOOP_KUBEFLOW_TOKEN"),
        (302, ShouldAuthenticate, "EVERLOOP_KUBEFLOW_TOKEN"),
        (403, ShouldAskForScope, "namespace"),
        (404, ShouldNameKnownId, "Check its name"),
        (409, ShouldResolveConflict, "rename"),
        (500, ShouldRetryLater, "API server"),
    ],
)
def test_each_answer_is_our_error_with_its_fix(
    world: World, status: int, error: type[EverloopError], fix: str
) -> None:
    client = world.client()
    world.fake.fail("GET", "/runs/", status, times=9)
    with pytest.raises(error, match=fix) as caught:
        client.run("r1")
    assert world.fake.url in caught.value.message
    assert "r1" in caught.value.message
    assert len(world.fake.seen("GET", "/runs/")) == (4 if status == 500 else 1)


def test_pauses_double_up_to_the_longest_and_are_jittered(world: World) -> None:
    client = Kubeflow(world.platform(), Attempts(6, 1.0, 4.0, world.pauses.append), NEVER_ANSWERED)
    world.fake.fail("GET", "/runs/", 503, times=9)
    with pytest.raises(ShouldRetryLater):
        client.run("r1")
    assert len(world.pauses) == 5
    for pause, bound in zip(world.pauses, (1, 2, 4, 4, 4), strict=True):
        assert bound / 2 <= pause <= bound


@pytest.mark.parametrize("arguments", [(0, 1.0, 2.0), (3, 2.0, 1.0), (3, -1.0, 1.0)])
def test_no_attempts(arguments: tuple[int, float, float]) -> None:
    with pytest.raises(ShouldFixArgument):
        Attempts(*arguments)


def test_a_host_where_nobody_listens_is_named(world: World) -> None:
    with kubeflow() as gone:
        url = gone.url
    with pytest.raises(ShouldRetryLater, match="cannot be reached") as caught:
        world.client(most=2, host=url).run("r1")
    assert url in caught.value.message
    assert "port-forward" in caught.value.remedy


def test_an_address_that_is_not_kubeflows_is_told_from_one_that_is_away(world: World) -> None:
    class Page(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>Welcome</html>")

    server = HTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        with pytest.raises(EverloopError, match="host in the platform file"):
            world.client(most=1, host=f"http://127.0.0.1:{server.server_port}").experiment()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_certificate_that_nobody_vouches_for_names_ca_file(world: World, tmp_path: Path) -> None:
    certificate = tmp_path / "c.pem"
    certificate.write_bytes(_self_signed())
    server = HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    server.handle_error = lambda *_: None  # type: ignore[method-assign, assignment]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        with pytest.raises(ShouldFixPlatform, match="ca_file"):
            world.client(host=f"https://127.0.0.1:{server.server_port}").run("r1")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert world.pauses == []


def _self_signed() -> bytes:
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "elsewhere")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return private + made.public_bytes(serialization.Encoding.PEM)


def test_the_token_of_the_environment_goes_before_the_files(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "token"
    file.write_text("from-file\n")
    world.fake.token = "from-file"
    world.client(token_path=str(file)).experiment()
    world.fake.token = "from-environment"
    monkeypatch.setenv("EVERLOOP_KUBEFLOW_TOKEN", "from-environment")
    world.client(token_path=str(file)).experiment()
    monkeypatch.setenv("EVERLOOP_KUBEFLOW_TOKEN", "wrong")
    with pytest.raises(ShouldAuthenticate, match="not valid"):
        world.client().experiment()


def test_a_token_that_was_replaced_is_read_anew(world: World, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("first")
    client = world.client(token_path=str(file))
    world.fake.token = "first"
    client.experiment()
    file.write_text("second")
    world.fake.token = "second"
    assert client.latest("nothing") is None


def test_a_token_file_that_is_not_there_stops_before_anything_is_sent(
    world: World, tmp_path: Path
) -> None:
    with pytest.raises(ShouldProvideKey, match="cannot be read"):
        world.client(token_path=str(tmp_path / "none"))
    assert world.fake.requests == []


def test_several_users_need_a_namespace_and_theirs_are_kept_apart(
    world: World, request_of: Requests
) -> None:
    world.fake.multi_user = True
    with pytest.raises(ShouldFixPlatform, match="namespace"):
        world.client().experiment()
    mine = world.client(namespace="team-a")
    mine.submit(request_of())
    assert world.fake.experiments[0]["namespace"] == "team-a"
    assert world.fake.pipelines[0]["namespace"] == "team-a"


def test_what_a_developers_home_says_of_another_cluster_is_not_heard(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import kfp

    context = tmp_path / "context.json"
    context.write_text('{"namespace": "someone-elses", "client_authentication_cookie": "x"}')
    monkeypatch.setattr(kfp.Client, "_LOCAL_KFP_CONTEXT", str(context))
    world.client().experiment()
    assert {r.query.get("namespace", "") for r in world.fake.requests} == {""}


def test_lists_are_read_to_the_last_page_and_stdout_stays_ours(
    world: World, request_of: Requests
) -> None:
    world.fake.page_size = 2
    client = world.client()
    with redirect_stdout(io.StringIO()) as out:
        print("ours")
        for number in range(5):
            run = client.submit(request_of())
            world.fake.move(run.run_id, "FAILED")
            assert run.name.endswith(f"-{number + 1}" if number else "abcd")
        with pytest.raises(ShouldNameKnownId):
            client.run("nothing")
    assert out.getvalue() == "ours\n"


def test_ending_a_run_leaves_one_that_has_ended_alone(world: World, request_of: Requests) -> None:
    client = world.client()
    run = client.submit(request_of())
    client.terminate(run.run_id)
    assert client.run(run.run_id).state is RunState.CANCELING
    world.fake.move(run.run_id, "CANCELED")
    client.terminate(run.run_id)
    assert len(world.fake.seen("POST", ":terminate")) == 1


def test_what_the_graph_does_not_take_is_refused_by_kubeflow_and_told(
    world: World, request_of: Requests
) -> None:
    with pytest.raises(ShouldFixArgument, match="parameter colour is not in"):
        world.client().submit(request_of(colour="red"))
    assert world.fake.runs == []


def test_states_that_we_do_not_know_have_not_ended() -> None:
    assert RunState.of("SOMETHING_NEW") is RunState.UNKNOWN
    assert not RunState.of(None).ended
    assert {s for s in RunState if s.ended} >= {s for s in RunState if s.failed} - {
        RunState.CANCELING
    }
