"""Children end with us, on every way out; nothing is ended that we did not start.

Left out: macOS, where the same code runs but is not tried here.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from pipelines.errors import InvalidInput, Unreachable
from pipelines.rehearsal.processes import Identity, Processes, end_leftovers, free_port, wait_until

SLEEPER = [sys.executable, "-S", "-c", "import time; time.sleep(600)"]
STUBBORN = [
    sys.executable,
    "-S",
    "-c",
    "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)",
]
OWNER = """
import sys, time
from pathlib import Path
from pipelines.rehearsal.processes import Processes

processes = Processes(Path(sys.argv[1]))
child = processes.start("sleeper", [sys.executable, "-S", "-c", "import time; time.sleep(600)"])
try:
    print(child.pid, processes._watcher.pid, flush=True)
    time.sleep(600)
finally:
    if sys.argv[2] == "tidy":
        processes.stop()
"""


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def start_owner(folder: Path, how: str = "untidy") -> tuple[subprocess.Popen[str], int, int]:
    """Another process with a world of its own: (it, its child's id, its watcher's id)."""
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(folder), how],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=Path(__file__).parents[3],
        text=True,
    )
    assert owner.stdout
    child, watcher = (int(word) for word in owner.stdout.readline().split())
    owner.stdout.close()
    return owner, child, watcher


def test_a_child_runs_and_ends_when_the_world_stops(tmp_path: Path) -> None:
    """Leaving the context ends the children and the watcher."""
    with Processes(tmp_path) as processes:
        child = processes.start("sleeper", SLEEPER)

        assert child.running
        assert child.memory_mib > 0

    assert not child.running
    assert child.exit_code == -signal.SIGTERM
    assert child.memory_mib == 0.0
    assert gone(processes._watcher.pid)


def test_stopping_twice_is_fine(tmp_path: Path) -> None:
    """Stop may be called again, of a child and of the world."""
    processes = Processes(tmp_path)
    child = processes.start("sleeper", SLEEPER)
    child.stop()
    child.stop()
    processes.stop()
    processes.stop()

    assert gone(child.pid)


def test_a_child_deaf_to_sigterm_is_killed(tmp_path: Path) -> None:
    """A grace of three seconds, then SIGKILL."""
    with Processes(tmp_path) as processes:
        child = processes.start("deaf", STUBBORN)
        wait_until("the child is deaf", lambda: child.last_line() == "deaf", seconds=10)

    assert child.exit_code == -signal.SIGKILL


def test_output_goes_to_a_log_named_after_the_child(tmp_path: Path) -> None:
    """A slash in a name becomes an underscore; standard error is logged too."""
    with Processes(tmp_path) as processes:
        child = processes.start("risk/scorer-1", [sys.executable, "-c", "raise SystemExit('no such model')"])
        wait_until("it ends", lambda: not child.running, seconds=10)

    assert child.log == tmp_path.resolve() / "logs" / "risk_scorer-1.log"
    assert child.last_line() == "no such model"
    assert child.exit_code == 1


def test_a_child_that_wrote_nothing_has_no_last_line(tmp_path: Path) -> None:
    """Silence is the empty string."""
    with Processes(tmp_path) as processes:
        assert processes.start("sleeper", SLEEPER).last_line() == ""


def test_the_same_name_again_replaces_the_child(tmp_path: Path) -> None:
    """Never two children of one name."""
    with Processes(tmp_path) as processes:
        first = processes.start("sleeper", SLEEPER)
        second = processes.start("sleeper", SLEEPER)

        assert not first.running
        assert second.running


def test_the_environment_is_laid_over_ours(tmp_path: Path) -> None:
    """A child sees what we set for it."""
    with Processes(tmp_path) as processes:
        command = [sys.executable, "-c", "import os; print(os.environ['LOCKGATE_TRIAL'])"]
        child = processes.start("printer", command, environment={"LOCKGATE_TRIAL": "seen"})
        wait_until("it ends", lambda: not child.running, seconds=10)

        assert child.last_line() == "seen"


def test_children_started_from_a_thread_outlive_the_thread(tmp_path: Path) -> None:
    """The thread of a loopback server starts a child and ends; the child stays."""
    with Processes(tmp_path) as processes:
        threads = [threading.Thread(target=processes.start, args=(f"child-{n}", SLEEPER)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        listed = json.loads((tmp_path / "processes.json").read_text())["children"]

        assert sorted(listed) == ["child-0", "child-1", "child-2", "child-3"]
        assert not any(gone(entry["pid"]) for entry in listed.values())


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_children_end_when_we_are_killed(tmp_path: Path, number: signal.Signals) -> None:
    """However the owner dies, its children and its watcher are gone soon after."""
    owner, child, watcher = start_owner(tmp_path)
    owner.send_signal(number)
    owner.wait(10)

    wait_until("the child is gone", lambda: gone(child), seconds=10)
    wait_until("the watcher is gone", lambda: gone(watcher), seconds=10)


def test_ctrl_c_ends_children_tidily(tmp_path: Path) -> None:
    """A KeyboardInterrupt that runs `stop` leaves nothing when the owner has ended."""
    owner, child, watcher = start_owner(tmp_path, "tidy")
    owner.send_signal(signal.SIGINT)
    owner.wait(10)

    assert gone(child)
    assert gone(watcher)


def test_a_later_start_ends_the_leftovers_of_a_crash(tmp_path: Path) -> None:
    """With the owner and its watcher both killed, the next world in the folder clears up."""
    owner, child, watcher = start_owner(tmp_path)
    os.kill(watcher, signal.SIGKILL)
    owner.kill()
    owner.wait(10)
    assert not gone(child)

    with Processes(tmp_path) as processes:
        assert processes.ended_leftovers == [child]
        assert gone(child)


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    """Two living worlds cannot share a folder; the refusal names the other's process."""
    owner, child, _ = start_owner(tmp_path)
    try:
        with pytest.raises(InvalidInput, match=f"process {owner.pid} uses this folder now"):
            Processes(tmp_path)
        assert not gone(child)
    finally:
        owner.kill()
        owner.wait(10)
    wait_until("the child is gone", lambda: gone(child), seconds=10)


@pytest.mark.parametrize("change", ["started", "command"])
def test_a_process_that_is_not_ours_is_left_alone(tmp_path: Path, change: str) -> None:
    """A listed id that now belongs to another process, by start time or command line, is not ended."""
    stranger = subprocess.Popen(SLEEPER)
    try:
        entry = {
            "pid": stranger.pid,
            "started": psutil.Process(stranger.pid).create_time(),
            "command": SLEEPER,
        }
        other = {"started": entry["started"] - 60, "command": ["sleep", "600"]}
        entry[change] = other[change]
        owner = {"pid": stranger.pid, "started": 0.0, "command": []}
        (tmp_path / "processes.json").write_text(json.dumps({"owner": owner, "children": {"x": entry}}))

        assert end_leftovers(tmp_path) == []
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


@pytest.mark.parametrize("text", ["", "[]", '{"owner": {}}', '{"owner": {"pid": "1"}, "children": {}}'])
def test_a_list_that_cannot_be_read_ends_nothing(tmp_path: Path, text: str) -> None:
    """A torn or foreign file is no reason to end anything, nor to refuse a start."""
    (tmp_path / "processes.json").write_text(text)

    assert end_leftovers(tmp_path) == []


def test_every_child_can_be_found_again_from_the_list(tmp_path: Path) -> None:
    """Also those whose command line the system did not know yet when they were started."""
    with Processes(tmp_path) as processes:
        children = [processes.start(f"child-{n}", ["/bin/sleep", "600"]) for n in range(40)]
        listed = json.loads((tmp_path / "processes.json").read_text())["children"]

        assert [listed[child.name]["command"] for child in children] == [["/bin/sleep", "600"]] * 40
        assert all(Identity.of(child.pid).find() for child in children)


def test_an_ended_process_fits_no_identity() -> None:
    """The identity of a process that is gone finds nothing, ever."""
    child = subprocess.Popen([sys.executable, "-S", "-c", ""])
    child.wait()

    assert Identity.of(child.pid).find() is None


def test_a_free_port_can_be_bound() -> None:
    """What free_port gives can be listened on."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", free_port()))


def test_waiting_gives_the_first_answer() -> None:
    """wait_until returns what the look returned, not just that it did."""
    answers = iter([None, "", "ready"])

    assert wait_until("an answer", lambda: next(answers), seconds=5, every_seconds=0.001) == "ready"


def test_waiting_ends_at_the_deadline_and_says_for_what() -> None:
    """An outage in the rehearsal is named, not hung on."""
    began = time.monotonic()

    with pytest.raises(Unreachable, match=r"^rehearsal: the moon: not within 0\.05 s$"):
        wait_until("the moon", lambda: None, seconds=0.05)

    assert time.monotonic() - began < 2
