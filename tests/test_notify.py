"""What systemd is told, over a real socket: when it is ready, how it is, and that it is alive only while it is."""

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from cli_setting import KEY, OFTEN, configure, daemon_in_a_thread, settings_of
from simulation import PATIENCE, Awake, undisturbed, until
from warm import Warm

from tracker import logs
from tracker.daemon import notify
from tracker.daemon.notify import Notifier
from tracker.panel import Limits, client
from tracker.simulator import Simulator
from tracker.store.database import Database
from tracker.store.leases import Lease


class Manager:
    """A service manager's end of the socket."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.setblocking(False)
        self._told: list[str] = []

    def told(self) -> list[str]:
        """Return every datagram so far."""
        while True:
            try:
                self._told.append(self.socket.recv(65536).decode())
            except BlockingIOError:
                return self._told

    def has(self, start: str) -> bool:
        """Whether some datagram begins like this."""
        return any(one.startswith(start) for one in self.told())


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Manager]:
    one = Manager(str(tmp_path / "notify"))
    yield one
    one.socket.close()


def notifier(tmp_path: Path, **more: str) -> Notifier:
    return Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify"), **more})


def test_each_message_is_one_datagram_of_lines(tmp_path: Path, manager: Manager) -> None:
    one = notifier(tmp_path)
    one.ready()
    one.status("Заказов: 3\nREADY=1 ✓")
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    one.reloading()
    one.waiting("waits")
    one.alive()
    one.stopping()
    ready, status, reloading, waiting, *rest = manager.told()
    assert (ready, status, rest) == ("READY=1", "STATUS=Заказов: 3 READY=1 ✓", ["WATCHDOG=1", "STOPPING=1"])
    first, second = reloading.split("\n")
    assert first == "RELOADING=1"
    assert (
        before
        <= int(second.removeprefix("MONOTONIC_USEC="))
        <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    )
    assert waiting == "STATUS=waits\nEXTEND_TIMEOUT_USEC=30000000"


def test_an_abstract_socket_is_found() -> None:
    name = f"tracker-test-{os.getpid()}"
    manager = Manager(f"\0{name}")
    with manager.socket:
        Notifier({"NOTIFY_SOCKET": f"@{name}"}).ready()
        assert manager.told() == ["READY=1"]


@pytest.mark.parametrize("address", ["", "/nowhere/at/all", "@nobody-listens-here", "/" + "x" * 200, "vsock:2:1"])
def test_a_manager_that_is_not_there_is_no_trouble(address: str) -> None:
    Notifier({"NOTIFY_SOCKET": address}).status("on and on")


def test_a_manager_that_does_not_read_holds_nothing_up_for_long(
    tmp_path: Path, manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify, "PATIENCE", 0.01)
    one, began = notifier(tmp_path), time.monotonic()
    for _ in range(50):
        one.status("x" * 1000)
    assert time.monotonic() - began < 10
    assert manager.told()


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog_is_heeded_where_it_is_meant(told: dict[str, str], seconds: float | None) -> None:
    assert Notifier(told).watchdog_seconds == seconds


def test_ready_comes_once_every_panel_is_led_or_stood_by_for(
    tmp_path: Path, manager: Manager, database: Database
) -> None:
    assert isinstance(database.acquire("other", "host/1/x", 3600.0), Lease)
    with Simulator(key=KEY) as panel:
        panels = [settings_of(panel, "acme"), settings_of(panel, "other")]
        with daemon_in_a_thread(database, panels, notifier=notifier(tmp_path)) as (daemon, _):
            until(lambda: manager.has("READY=1"), "it to be ready")
            assert daemon.started.is_set()
            until(lambda: manager.told()[-1].startswith("STATUS="), "how it is")
            status = manager.told()[-1]
            assert "leads 1 of 2 panels, stands by for other (host/1/x)" in status
            until(lambda: daemon.status().panels[0].figures.balance is not None, "a count")
            assert "0 orders open; asked " in daemon.status().text
            assert "acme holds " in daemon.status().text
        assert manager.told()[-1] == "STOPPING=1"
    assert manager.told().count("READY=1") == 1


def test_a_round_that_hangs_in_a_deadlock_stops_the_watchdogs_food_and_is_told(
    tmp_path: Path, manager: Manager, sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracker.daemon.keeper.STUCK_SECONDS", 0.5)
    held, let_go = threading.Event(), threading.Event()

    def hang(*_arguments: object) -> None:
        held.set()
        let_go.wait(60)
        raise ZeroDivisionError

    monkeypatch.setattr("tracker.daemon.post.balance", hang)
    food = notifier(tmp_path, WATCHDOG_USEC="400000")
    with Simulator(key=KEY) as panel:
        panels = [settings_of(panel, "acme")]
        with daemon_in_a_thread(sqlite_database, panels, notifier=food) as (daemon, _):
            assert held.wait(PATIENCE)
            until(lambda: manager.has("STATUS=stuck: acme"), "it to be told")
            fed = manager.told().count("WATCHDOG=1")
            stuck = manager.told().count("STATUS=stuck: acme")
            until(lambda: sum(one.startswith("STATUS=stuck") for one in manager.told()) > stuck + 5, "more turns")
            assert manager.told().count("WATCHDOG=1") == fed
            let_go.set()
            until(lambda: manager.told().count("WATCHDOG=1") > fed, "food, once it moves again")
            assert daemon.status().stuck == ()


def test_a_panel_that_never_answers_and_one_in_peace_are_no_reason_to_starve_the_watchdog(
    tmp_path: Path, manager: Manager, sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracker.daemon.keeper.STUCK_SECONDS", 1.0)
    monkeypatch.setattr("tracker.daemon.chores.STUCK_SECONDS", 1.0)
    for name in ("READ", "CATALOG"):
        monkeypatch.setattr(client, name, Limits(seconds=0.3))
    food = notifier(tmp_path, WATCHDOG_USEC="400000")
    with Simulator(key=KEY, latency=3600) as silent, Simulator(key="another") as strict:
        panels = [settings_of(silent, "silent"), settings_of(strict, "strict")]
        with daemon_in_a_thread(sqlite_database, panels, OFTEN, notifier=food) as (daemon, _):
            until(lambda: silent.counts.total() > 2 and strict.counts.total() > 0, "both to be asked")

            def nobody_is_stuck() -> None:
                told = len(manager.told())
                with Awake() as awake:
                    while awake.seconds < 2.5:
                        assert daemon.status().stuck == ()
                        assert not any(one.startswith("STATUS=stuck") for one in manager.told()[told:])
                        time.sleep(0.01)

            undisturbed(nobody_is_stuck)
    assert manager.told().count("WATCHDOG=1") > 5


def test_a_whole_life_as_systemd_sees_it(tmp_path: Path, manager: Manager) -> None:
    with Simulator(key=KEY) as panel:
        config = configure(tmp_path, {"acme": panel.url}, f"sqlite:///{tmp_path}/tracker.db")
        environ = {**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "2000000"}
        with Warm(["run", "--config", str(config)], env=environ) as process:
            try:
                until(lambda: manager.has("WATCHDOG=1"), "food")
                assert manager.has("READY=1"), manager.told()
                process.send_signal(signal.SIGHUP)
                until(lambda: manager.told().count("READY=1") == 2, "the end of a reload")
                process.terminate()
                assert process.wait(PATIENCE) == 0
            finally:
                process.kill()
    kinds = [one.partition("=")[0] for one in manager.told() if one.startswith(("READY", "RELOADING", "STOPPING"))]
    assert kinds == ["READY", "RELOADING", "READY", "STOPPING"]


def test_lines_for_the_journal_begin_with_their_priority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (tmp_path / "journal").open("w+") as stream:
        found = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino}")
        logs.configure(stream, secrets=())
        log = logs.get()
        for say in (log.debug, log.info, log.warning, log.error, log.exception, log.critical):
            say("a.word", text="two\nlines")
        logs.configure(stream, secrets=(), json=False)
        log.info("a.word")
        monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino + 1}")
        logs.configure(stream, secrets=())
        log.error("a.word")
        structlog.reset_defaults()
        stream.seek(0)
        lines = stream.read().splitlines()
    assert [line[:4] for line in lines[:5]] == ["<6>{", "<4>{", "<3>{", "<3>{", "<2>{"]
    assert json.loads(lines[0][3:])["text"] == "two\nlines"
    assert lines[-1].startswith("{"), "that is another stream than the journal's"
