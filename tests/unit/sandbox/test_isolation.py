"""The sandbox really is closed: what tries to get out is denied, and where it is open nothing is loaded."""

from __future__ import annotations

import os
import platform
import resource
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from everloop.contracts.errors import (
    ShouldFixArgument,
    ShouldFixInput,
    ShouldProvideEngine,
    ShouldRetryLater,
)
from everloop.contracts.sandboxes import VoiceOpening
from everloop.contracts.speaking import BaseFolder, SpeakRequest
from everloop.contracts.voice_spec import SandboxSpec
from everloop.contracts.voices import Message
from everloop.sandbox.apart import attempts, isolated, seccomp, watch
from everloop.sandbox.apart.code_folder import linked
from everloop.sandbox.apart.isolated import (
    IsolatedVoice,
    ShouldCloseSandbox,
    ShouldMendVoice,
    isolation_of,
)
from everloop.sandbox.apart.messages import Closed, read_said

HELLO = SpeakRequest((Message("user", "hello"),))


@pytest.fixture
def base(tmp_path: Path) -> BaseFolder:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    return BaseFolder("none", folder, "0" * 64, "MIT", 512)


@pytest.fixture
def workspace(tmp_path: Path) -> tuple[Path, Path]:
    folder = tmp_path / "workspace"
    folder.mkdir()
    with sqlite3.connect(folder / "everloop.db") as database:
        database.execute("create table people (name text)")
    (folder / "secrets.env").write_text("EVERLOOP_PSEUDONYM_KEY=abc\n")
    return folder / "everloop.db", folder / "secrets.env"


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0.2)
        yield listening


def voice(
    base: BaseFolder, factory: str, graph: str = "", guarded: tuple[Path, ...] = (), **spec: float
) -> IsolatedVoice:
    sandbox = SandboxSpec.model_validate({"timeout_seconds": 30.0, **spec})
    name = f"tests.sandboxed_voices:{factory}"
    return IsolatedVoice(name, VoiceOpening("{}", base, (), graph), sandbox, guarded)


def met(apart: IsolatedVoice, way: str) -> str:
    """What a voice that tries a way out meets."""
    return apart.answer((SpeakRequest((Message("user", way),)),))[0].text


def test_everything_is_tried_and_denied_before_the_voice_is_opened(
    base: BaseFolder, workspace: tuple[Path, Path]
) -> None:
    with voice(base, "quick", "{}", workspace) as apart:
        found = apart.isolation
        assert found.network_denied
        assert found.writes_denied
        assert found.state_read_only
        assert {*attempts.ATTEMPTS} <= found.tried.keys()
        assert {"read secrets.env", "write everloop.db", "write the state's model.safetensors"} <= (
            found.tried.keys()
        )
        assert all(attempts.is_denial(error) for error in found.tried.values()), found.tried
        assert any(name.startswith("landlock") for name in found.mechanisms)
        assert "seccomp" in found.mechanisms
        assert apart.checked() == found
        assert apart.configuration.settings["graph"] == "{}"


def test_it_answers_streams_scores_and_prompts_as_the_same_voice_here(base: BaseFolder) -> None:
    from tests.sandboxed_voices import quick

    here = quick(VoiceOpening("{}", base))
    said = (Message("user", "hello"),)
    with voice(base, "quick") as apart:
        assert apart.answer((HELLO, HELLO)) == here.speaker.answer((HELLO, HELLO))
        assert list(apart.stream(HELLO)) == list(here.speaker.stream(HELLO))
        assert apart.score((said,), ("yes",)) == here.speaker.score((said,), ("yes",))
        assert apart.prompt(said, {"warmth": 0.5}, "p") == here.prompt(said, {"warmth": 0.5}, "p")
        with pytest.raises(ShouldMendVoice, match=r"ShouldNameKnownId: No adapter 'x' is loaded"):
            apart.answer((SpeakRequest(said, "x"),))
        assert apart.answer((HELLO,)), "an error of the voice does not end the sandbox"


def test_a_planted_adapter_reaches_no_network_while_it_is_loaded(
    base: BaseFolder, listener: socket.socket
) -> None:
    host, port = listener.getsockname()
    with voice(base, "at_once", f"connect|{host}|{port}") as apart:
        assert apart.configuration.settings["met"].startswith("PermissionError")
    with pytest.raises(TimeoutError):
        listener.accept()


def test_a_planted_voice_reaches_nothing_while_it_speaks(
    base: BaseFolder,
    listener: socket.socket,
    workspace: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("EVERLOOP_LEDGER_KEY", "ab" * 32)
    database, keys = workspace
    before = database.read_bytes()
    host, port = listener.getsockname()
    with voice(base, "escaping", guarded=workspace) as apart:
        for way in (
            f"connect|{host}|{port}",
            f"fork|{host}|{port}",
            "program|print(1)",
            f"write|{database}",
            f"read|{database}",
            f"read|{keys}",
            f"write|{base.path}/model.safetensors",
            f"cut|{base.path}/model.safetensors",
            f"cut|{database}",
            "read|/etc/passwd",
        ):
            assert met(apart, way).startswith("PermissionError"), way
        assert "did it" not in met(apart, "resolve")
        assert met(apart, f"read|{base.path}/model.safetensors") == "did it: weights"
        variables = met(apart, "environment")
        assert variables.startswith("did it")
        assert "EVERLOOP" not in variables
        assert met(apart, "fill|big").startswith("OSError: [Errno 27]")
    assert database.read_bytes() == before
    with pytest.raises(TimeoutError):
        listener.accept()


def test_memory_and_time_have_limits_and_it_ends_with_what_it_does(base: BaseFolder) -> None:
    with voice(base, "escaping", memory_mb=512, timeout_seconds=2.0) as apart:
        assert met(apart, "memory").startswith("MemoryError")
        process = apart._process
        assert process is not None
        with pytest.raises(ShouldRetryLater, match="longer than it may"):
            met(apart, "forever")
        assert process.poll() is not None
        with pytest.raises(ShouldRetryLater, match="has ended"):
            met(apart, "memory")
    with (
        voice(base, "escaping") as apart,
        pytest.raises(ShouldRetryLater, match="ended in the middle"),
    ):
        met(apart, "leave")


def test_it_changes_no_other_process(base: BaseFolder) -> None:
    """Neither the parent nor a stranger of the same user, whose limits end it by a signal."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    stranger = subprocess.Popen(("sleep", "60"))
    try:
        with voice(base, "escaping") as apart:
            for other in (os.getpid(), stranger.pid):
                assert met(apart, f"limit|{other}").startswith("PermissionError")
            assert met(apart, "limit itself") == "did it: limited"
            if platform.machine() == "x86_64":
                child = apart._process.pid if apart._process is not None else 0
                for call in (
                    f"141|0|{child}|19",  # setpriority
                    f"203|{stranger.pid}|8|0",  # sched_setaffinity
                    f"279|{stranger.pid}|0|0|0|0|0",  # move_pages
                    f"251|1|{stranger.pid}|0",  # ioprio_set
                    "31|0|3|0",  # shmctl
                    "66|0|0|0",  # semctl
                    "71|0|0|0",  # msgctl
                    "444|0|0|1",  # landlock_create_ruleset
                    "206|1|0",  # io_setup
                    f"72|1|8|{os.getpid()}",  # fcntl with F_SETOWN
                    "72|1|15|0",  # fcntl with F_SETOWN_EX
                    "157|1|0",  # prctl with PR_SET_PDEATHSIG
                    "157|4|0",  # prctl with PR_SET_DUMPABLE
                ):
                    said = met(apart, f"call|{call}")
                    assert said.startswith("PermissionError: [Errno 1]"), (call, said)
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == before
        assert resource.prlimit(stranger.pid, resource.RLIMIT_NOFILE) == before
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


@pytest.mark.timeout(20)
def test_a_sandbox_that_does_not_read_stops_nobody(
    base: BaseFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It answers by itself and then sleeps: the parent's next question ends with the time, unread."""
    monkeypatch.setattr(isolated, "_GRACE_SECONDS", 3600.0)
    with voice(base, "escaping", timeout_seconds=3.0) as apart:
        assert apart.answer((SpeakRequest((Message("user", "deaf"),)),)) == ()
        long = SpeakRequest((Message("user", "x" * 300_000),))
        with pytest.raises(ShouldRetryLater, match="longer than it may"):
            apart.answer((long,))
        assert apart._process is None


@pytest.mark.timeout(30)
def test_it_is_ended_past_its_time_though_nobody_asks(
    base: BaseFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(isolated, "_GRACE_SECONDS", 0.0)
    with voice(base, "escaping", timeout_seconds=3.0) as apart:
        process = apart._process
        assert process is not None
        assert process.wait(20) == -signal.SIGKILL
        with pytest.raises(ShouldRetryLater, match="longer than it may"):
            apart.answer((HELLO,))


def test_what_it_says_unasked_is_no_answer(base: BaseFolder) -> None:
    with voice(base, "escaping") as apart, pytest.raises(ShouldFixInput, match="Piece"):
        met(apart, "unasked")
    with voice(base, "escaping") as apart:
        stream = apart.stream(HELLO)
        next(stream)
        with pytest.raises(ShouldFixInput, match="Piece"):
            apart.answer((HELLO,))


def test_memory_and_files_that_no_limit_counts_are_denied(base: BaseFolder) -> None:
    with voice(base, "escaping") as apart:
        for way in ("shared", "zeros", "memory file", "nameless", "remove"):
            assert met(apart, way).startswith("PermissionError"), way
        assert met(apart, "open files").startswith("OSError: [Errno 24]")


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("way", "used"), [("stack", "MiB of memory"), ("files", "MiB of disk"), ("threads", "threads")]
)
def test_what_the_kernel_lets_through_is_watched(base: BaseFolder, way: str, used: str) -> None:
    """As root the kernel counts no threads; as anyone else it does, and none more is started."""
    with voice(base, "escaping", memory_mb=256, timeout_seconds=50.0) as apart:
        process = apart._process
        assert process is not None
        if way == "threads" and os.getuid() != 0 and "namespace" in apart.isolation.mechanisms:
            assert met(apart, way).startswith("RuntimeError: can't start new thread")
            return
        with pytest.raises(ShouldFixInput, match=used):
            met(apart, way)
        assert process.poll() == -signal.SIGKILL


def test_what_is_written_is_counted_to_the_last_link(tmp_path: Path) -> None:
    assert watch.written(tmp_path, 10) == (0, 0)
    (tmp_path / "a" / "b").mkdir(parents=True)
    base_size, entries = watch.written(tmp_path, 10)
    assert entries == 2
    (tmp_path / "a" / "b" / "file").write_bytes(b"x" * 4096)
    (tmp_path / "loop").symlink_to(tmp_path)
    size, entries = watch.written(tmp_path, 10)
    assert entries == 4
    assert size >= base_size + 4096
    assert watch.written(tmp_path, 2)[1] == 3, "it stops counting"
    memory, threads = watch.used(os.getpid())
    assert 1 << 20 < memory < 1 << 36
    assert threads >= 1


def test_it_ends_with_its_parent(base: BaseFolder) -> None:
    """A parent killed with -9 leaves no sandbox behind."""
    code = (
        "import sys, time; from pathlib import Path\n"
        "from everloop.contracts.speaking import BaseFolder\n"
        "from tests.unit.sandbox.test_isolation import voice\n"
        f"base = BaseFolder('none', Path({str(base.path)!r}), '0' * 64, 'MIT', 512)\n"
        "apart = voice(base, 'quick').__enter__()\n"
        "print(apart._process.pid, apart._root, flush=True); time.sleep(60)\n"
    )
    parent = subprocess.Popen((sys.executable, "-c", code), stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child, root = parent.stdout.readline().split()
    parent.kill()
    parent.wait()
    parent.stdout.close()
    for _ in range(100):
        try:
            state = Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            break
        if state == "Z":
            break
        time.sleep(0.05)
    else:
        os.kill(int(child), signal.SIGKILL)
        pytest.fail("the sandbox outlived its parent")
    subprocess.run(("rm", "-r", root), check=True)


@pytest.mark.parametrize("open_", ["landlock", "seccomp"])
def test_half_a_sandbox_is_none(
    base: BaseFolder, monkeypatch: pytest.MonkeyPatch, open_: str, tmp_path: Path
) -> None:
    """With either half taken away the attempts succeed, and the voice is never opened."""
    package = _without(tmp_path, open_)
    monkeypatch.setattr(isolated, "linked", lambda folder, _paths: linked(folder, [str(package)]))
    with pytest.raises(ShouldCloseSandbox) as refused:
        voice(base, "quick").__enter__()
    found = refused.value.isolation
    assert found.mechanisms, "the process said that it was closed"
    assert not (found.network_denied and found.writes_denied and found.state_read_only)
    succeeded = {name for name, error in found.tried.items() if not error}
    wanted = {"landlock": "read a secret", "seccomp": "change a file's mode outside of scratch"}
    assert wanted[open_] in succeeded, found.tried


def test_a_landlock_that_lets_files_be_cut_is_none(
    base: BaseFolder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Linux before 6.2: refused by its version, and where that were believed, by what can be cut."""
    package = _changed(tmp_path / "old", "landlock", "def version(", "def _newer(", _SECOND)
    monkeypatch.setattr(isolated, "linked", lambda folder, _paths: linked(folder, [str(package)]))
    with pytest.raises(ShouldCloseSandbox, match=r"Landlock 2, which lets .* Linux 6\.2"):
        voice(base, "quick").__enter__()
    module = package / "everloop" / "sandbox" / "apart" / "landlock.py"
    text = module.read_text()
    for here, there in (("LEAST = 3", "LEAST = 2"), ("| _REFER | _TRUNCATE", "| _REFER")):
        assert text.count(here) == 1
        text = text.replace(here, there)
    module.write_text(text)
    with pytest.raises(ShouldCloseSandbox) as refused:
        voice(base, "quick").__enter__()
    tried = refused.value.isolation.tried
    assert {name for name, error in tried.items() if not error} == {
        "cut a file that it may read",
        "reached the file lent/weights",
    }
    assert (base.path / "model.safetensors").read_bytes() == b"weights"


_SECOND = "\n\ndef version() -> int:\n    return 2\n"


def _without(folder: Path, mechanism: str) -> Path:
    """A copy of our code in which one mechanism claims to work and does nothing."""
    return _changed(
        folder, mechanism, "def restrict(", "def _closed(", "\n\ndef restrict(*_):\n    return 1\n"
    )


def _changed(folder: Path, module_name: str, head: str, instead: str, added: str) -> Path:
    """A copy of our code with one function of a module replaced."""
    import shutil

    import everloop

    place = folder / "code"
    shutil.copytree(Path(everloop.__file__).parent, place / "everloop")
    (place / "tests").symlink_to(Path(__file__).parents[2])
    module = place / "everloop" / "sandbox" / "apart" / f"{module_name}.py"
    text = module.read_text()
    assert text.count(head) == 1
    module.write_text(text.replace(head, instead) + added)
    return place


def test_a_workspace_inside_what_is_read_is_refused(base: BaseFolder) -> None:
    inside = base.path / "secrets.env"
    inside.write_text("x")
    with pytest.raises(ShouldFixArgument, match="which the sandbox reads"):
        voice(base, "quick", "", (inside,)).__enter__()


def test_what_the_parent_sees_reached_counts_whatever_the_sandbox_says() -> None:
    denied = dict.fromkeys(attempts.ATTEMPTS, "PermissionError: [Errno 1]")
    good = isolation_of(Closed(mechanisms=("seccomp",), tried=denied), ())
    assert good.network_denied
    assert not isolation_of(Closed(mechanisms=("seccomp",), tried=denied), ("TCP",)).network_denied
    unlucky = {**denied, "connect by TCP": "TimeoutError: timed out"}
    assert not isolation_of(Closed(mechanisms=("x",), tried=unlucky), ()).network_denied
    silent = {k: v for k, v in denied.items() if k != "ask a name server"}
    assert not isolation_of(Closed(mechanisms=("x",), tried=silent), ()).network_denied


def test_what_is_no_message_is_refused() -> None:
    reading, writing = os.pipe()
    try:
        os.write(writing, b"\0\0\0\x0c" + b'{"say":"no"}')
        with pytest.raises(ShouldFixInput, match="no message"):
            read_said(reading, time.monotonic() + 5)
        os.write(writing, b"\xff\xff\xff\xff")
        with pytest.raises(ShouldFixInput, match="announced a message of 4294967295 bytes"):
            read_said(reading, time.monotonic() + 5)
    finally:
        os.close(reading)
        os.close(writing)


def test_the_links_hold_what_can_be_imported_and_nothing_beside_it(tmp_path: Path) -> None:
    place = tmp_path / "checkout"
    for name in ("package", ".everloop", "data", "not-a-name"):
        (place / name).mkdir(parents=True)
    for name in (
        "package/__init__.py",
        "not-a-name/x.py",
        "module.py",
        "secrets.env",
        "data/x.csv",
    ):
        (place / name).write_text("")
    found = linked(tmp_path / "code", [str(place), sys.prefix])
    assert {path.name for path in found} == {"package", "module.py"}
    assert {path.name for path in (tmp_path / "code").iterdir()} == {"package", "module.py"}


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_jumps_of_the_filter_stay_inside_it(machine: str) -> None:
    """Every jump lands on an instruction, and every path ends in a return (the kernel's own rule)."""
    import struct

    program = seccomp.program(machine, 1)
    lines = list(struct.iter_unpack("=HBBI", program))
    assert len(lines) < 4096
    for at, (code, if_true, if_false, _) in enumerate(lines):
        if code & 0x07 == 0x05:
            assert at + 1 + max(if_true, if_false) < len(lines)
    assert lines[-1][0] == 0x06
    with pytest.raises(OSError, match="no filter of system calls is known for 'vax'"):
        seccomp.program("vax", 1)


def _runs(
    machine: str,
    number: int,
    argument: int = 0,
    process: int = 77,
    second: int = 0,
    third: int = 0,
    fourth: int = 0,
) -> int:
    """What the filter returns for a call: a reading of classic BPF by hand."""
    import struct

    architecture = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}[machine]
    lines = list(struct.iter_unpack("=HBBI", seccomp.program(machine, process)))
    held, at = 0, 0
    data = {0: number, 4: architecture, 16: argument, 24: second, 32: third, 40: fourth}
    while True:
        code, if_true, if_false, value = lines[at]
        at += 1
        if code == 0x20:
            held = data[value]
        elif code == 0x06:
            return value
        else:
            met_ = {0x15: held == value, 0x45: bool(held & value), 0x35: held >= value}[code]
            at += if_true if met_ else if_false


def test_the_filter_by_hand() -> None:
    allow, eperm, enosys = 0x7FFF0000, 0x00050001, 0x00050026
    assert _runs("x86_64", 41) == eperm, "socket"
    assert _runs("x86_64", 0) == allow, "read"
    assert _runs("x86_64", 1) == allow, "write"
    assert _runs("x86_64", 425) == eperm, "io_uring_setup"
    assert _runs("x86_64", 0x40000000 + 41) == eperm, "socket of the x32 numbers"
    assert _runs("x86_64", 56, 0x00010000 | 0x100) == allow, "clone of a thread"
    assert _runs("x86_64", 56, 17) == eperm, "clone of a process"
    assert _runs("x86_64", 435) == enosys, "clone3"
    assert _runs("x86_64", 62, 77) == allow, "kill of itself"
    assert _runs("x86_64", 62, 1) == eperm
    assert _runs("x86_64", 234, 77) == allow, "tgkill of itself"
    assert _runs("aarch64", 198) == eperm, "socket"
    assert _runs("aarch64", 63) == allow, "read"
    assert _runs("aarch64", 220, 17) == eperm, "clone of a process"
    for machine, limits, control, prctl in (("x86_64", 302, 72, 157), ("aarch64", 261, 25, 167)):
        assert _runs(machine, limits, 0) == allow, "its own limits"
        assert _runs(machine, limits, 77) == allow, "its own limits by its id"
        assert _runs(machine, limits, 1) == eperm, "the limits of another"
        assert _runs(machine, control, 1, second=2) == allow, "F_SETFD"
        assert _runs(machine, control, 8, second=8) == eperm, "F_SETOWN"
        assert _runs(machine, control, 1, second=15) == eperm, "F_SETOWN_EX"
        assert _runs(machine, prctl, 15) == allow, "PR_SET_NAME"
        assert _runs(machine, prctl, 1) == eperm, "PR_SET_PDEATHSIG"
        assert _runs(machine, prctl, 4) == eperm, "PR_SET_DUMPABLE"
    for machine, memory, opening, file in (("x86_64", 9, 257, 319), ("aarch64", 222, 56, 279)):
        assert _runs(machine, memory, fourth=0x22) == allow, "private memory"
        assert _runs(machine, memory, fourth=0x01) == allow, "a shared file"
        assert _runs(machine, memory, fourth=0x21) == eperm, "shared memory"
        assert _runs(machine, opening, third=0x241) == allow, "a file is made"
        assert _runs(machine, opening, third=0x410002) == eperm, "O_TMPFILE"
        assert _runs(machine, 437) == enosys, "openat2"
        assert _runs(machine, file) == eperm, "memfd_create"
        assert _runs(machine, 447) == eperm, "memfd_secret"
    assert _runs("x86_64", 2, second=0x410002) == eperm, "open with O_TMPFILE"
    assert _runs("x86_64", 2, second=0) == allow
    # From the kernel's unistd headers: scheduling and priority, pages, System V, landlock, io_setup.
    x86_64 = (142, 144, 203, 314, 141, 251, 279, 256, 31, 66, 65, 220, 71, 69, 70, 241, 444, 206)
    aarch64 = (
        118,
        119,
        122,
        274,
        140,
        30,
        239,
        238,
        195,
        191,
        193,
        192,
        187,
        189,
        188,
        181,
        444,
        0,
    )
    assert {_runs("x86_64", number) for number in x86_64} == {eperm}
    assert {_runs("aarch64", number) for number in aarch64} == {eperm}


def test_a_long_path_for_temporary_files_is_no_obstacle(
    base: BaseFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    far = tmp_path / ("a folder with a long name " * 3).strip()
    far.mkdir()
    monkeypatch.setattr(isolated.tempfile, "tempdir", str(far))
    with voice(base, "quick") as apart:
        assert apart.isolation.network_denied
    monkeypatch.setattr(isolated, "_PLACES", (str(tmp_path / "none"),))
    with pytest.raises(ShouldProvideEngine, match="too long a path"), voice(base, "quick"):
        pass
