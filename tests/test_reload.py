"""A reload: what changed takes effect, what did not is left alone, and what is wrong changes nothing."""

import fcntl
import os
import pty
import signal
import subprocess
import termios
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cli_setting import KEY, TRACKER, Running, configure, daemon_in_a_thread, settings_of
from simulation import PATIENCE, until

from tracker.daemon.seat import Shift
from tracker.daemon.service import Daemon
from tracker.errors import ConfigurationFault
from tracker.rounds.desk import Report
from tracker.settings import Every, PanelSettings, Secret, Settings
from tracker.simulator import Simulator
from tracker.store.database import Database

OFTEN = Every(statuses=0.2, refills=0.2, balance=0.2, catalog=0.2)


class File:
    """What the configuration holds right now."""

    def __init__(self, *panels: PanelSettings) -> None:
        self.panels = panels
        self.every = OFTEN
        self.wrong = False

    def load(self) -> Settings:
        if self.wrong:
            raise ConfigurationFault("all that is wrong")
        return Settings("sqlite:///unused.db", self.panels, self.every)


def states(daemon: Daemon) -> dict[str, str]:
    return {one.name: one.state for one in daemon.status().panels}


def shift(daemon: Daemon, name: str) -> Shift | None:
    return daemon._keeper._seats[name].shift


def free(database: Database, *names: str) -> bool:
    held = database.holders()
    return all(held[name].expired for name in names)


def reload_until(daemon: Daemon, condition: Callable[[], bool], what: str) -> None:
    daemon.reload()
    until(condition, what)


@pytest.fixture
def panel() -> Iterator[Simulator]:
    with Simulator(key=KEY) as one:
        yield one


def test_a_panel_that_is_added_is_polled_and_the_others_are_not_disturbed(
    sqlite_database: Database, panel: Simulator
) -> None:
    file = File(settings_of(panel, "acme"))
    with daemon_in_a_thread(sqlite_database, file.panels, OFTEN, load=file.load) as (daemon, ended):
        assert daemon.started.wait(PATIENCE)
        before = shift(daemon, "acme")
        file.panels = (settings_of(panel, "acme"), settings_of(panel, "new"))
        reload_until(daemon, lambda: states(daemon).get("new") == "leading", "the new panel to be led")
        until(lambda: sqlite_database.history.rounds("new") != [], "a round of it")
        assert shift(daemon, "acme") is before
        assert [one.term for one in daemon.status().panels] == [1, 1]
    assert ended.error is None


def test_a_panel_that_is_removed_or_paused_is_given_back_in_the_middle_of_a_request(
    sqlite_database: Database, panel: Simulator
) -> None:
    with Simulator(key=KEY, latency=3600) as silent:
        gone, paused = settings_of(silent, "gone"), settings_of(silent, "paused")
        file = File(settings_of(panel, "acme"), gone, paused)
        with daemon_in_a_thread(sqlite_database, file.panels, OFTEN, load=file.load) as (daemon, ended):
            until(lambda: silent.counts.total() >= 2, "both to be asked")
            before = shift(daemon, "acme")
            file.panels = (settings_of(panel, "acme"), replace(paused, paused=True))
            reload_until(daemon, lambda: free(sqlite_database, "gone", "paused"), "both leases")
            assert states(daemon) == {"acme": "leading", "paused": "paused"}
            assert shift(daemon, "acme") is before
            file.panels = (settings_of(panel, "acme"), paused)
            reload_until(daemon, lambda: states(daemon)["paused"] == "leading", "it to be polled again")
        assert ended.error is None


def test_a_removed_panel_whose_round_hangs_keeps_its_lease_and_counts_as_stuck(
    sqlite_database: Database, panel: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tracker.daemon.keeper.STUCK_SECONDS", 0.3)
    held, let_go = threading.Event(), threading.Event()

    def hang(*_arguments: object) -> Report:
        held.set()
        let_go.wait(60)
        return Report(idle=True)

    monkeypatch.setattr("tracker.daemon.post.balance", hang)
    file = File(settings_of(panel, "acme"))
    with daemon_in_a_thread(sqlite_database, file.panels, OFTEN, load=file.load) as (daemon, _):
        assert held.wait(PATIENCE)
        file.panels = (replace(file.panels[0], paused=True),)
        reload_until(daemon, lambda: daemon.status().stuck == ("acme",), "it to be told")
        assert not free(sqlite_database, "acme"), "what still runs may still ask"
        let_go.set()
        until(lambda: free(sqlite_database, "acme"), "the lease")
        assert daemon.status().stuck == ()


def test_a_new_key_is_used_under_the_same_lease(sqlite_database: Database, panel: Simulator) -> None:
    wrong = settings_of(panel, "acme", key="an-old-one")
    file = File(wrong)
    with daemon_in_a_thread(sqlite_database, file.panels, OFTEN, load=file.load) as (daemon, _):
        until(lambda: "key" in str(daemon.status().panels[0].figures.failed), "the refusal")
        asked = panel.counts.total()
        reload_until(daemon, lambda: not daemon._reload_wanted.is_set(), "a reload without a change")
        until(lambda: not daemon._reloading, "its end")
        assert panel.counts.total() == asked, "a key that was refused is asked with again"
        file.panels = (replace(wrong, key=Secret(KEY)),)
        reload_until(daemon, lambda: bool(daemon.status().panels[0].figures.succeeded), "a good round")
        assert daemon.status().panels[0].term == 1


def test_new_intervals_and_budgets_take_effect(sqlite_database: Database, panel: Simulator) -> None:
    slow = Every(statuses=3600.0, refills=3600.0, balance=3600.0, catalog=3600.0)
    one = settings_of(panel, "acme")
    file = File(one)
    file.every = slow
    with daemon_in_a_thread(sqlite_database, file.panels, slow, load=file.load) as (daemon, _):
        until(lambda: panel.counts["balance"] == 1, "its first round")
        file.every = OFTEN
        file.panels = (replace(one, requests_per_minute=3000.0, in_flight=1),)
        reload_until(daemon, lambda: panel.counts["balance"] >= 4, "rounds by the new intervals")
        assert [(panel.term, panel.per_minute) for panel in daemon.status().panels] == [(1, 3000.0)]


def test_a_configuration_that_is_wrong_changes_nothing(sqlite_database: Database, panel: Simulator) -> None:
    file = File(settings_of(panel, "acme"))
    with daemon_in_a_thread(sqlite_database, file.panels, OFTEN, load=file.load) as (daemon, ended):
        assert daemon.started.wait(PATIENCE)
        before = shift(daemon, "acme")
        file.wrong, file.panels = True, ()
        reload_until(daemon, lambda: not daemon._reload_wanted.is_set(), "it to be read")
        asked = panel.counts["balance"]
        until(lambda: panel.counts["balance"] >= asked + 2, "polling to go on")
        assert shift(daemon, "acme") is before
    assert ended.error is None


def test_a_new_address_of_one_that_stands_by_is_what_it_takes_over_with(
    sqlite_database: Database, panel: Simulator
) -> None:
    with Simulator(key=KEY) as moved:
        file = File(settings_of(panel, "acme"))
        with daemon_in_a_thread(sqlite_database, file.panels) as (first, _):
            assert first.started.wait(PATIENCE)
            with daemon_in_a_thread(sqlite_database, file.panels, OFTEN, load=file.load) as (second, _):
                assert second.started.wait(PATIENCE)
                file.panels = (settings_of(moved, "acme"),)
                reload_until(second, lambda: not second._reload_wanted.is_set(), "it to be read")
                first.stopping.set()
                until(lambda: moved.counts.total() > 0, "the new address to be asked")


def test_sighup_reloads_the_file_says_what_is_wrong_and_shows_no_key(tmp_path: Path, panel: Simulator) -> None:
    config = configure(tmp_path, {"acme": panel.url}, f"sqlite:///{tmp_path}/tracker.db")
    good = config.read_text()
    rotated = "rotated-9d41c07be5"
    with Running(config) as running:
        running.until("daemon.started")
        config.write_text(good.replace("requests_per_minute", "requests_per_hour").replace("[every]", "[often]"))
        running.signal(signal.SIGHUP)
        line = running.until("configuration.refused", level="error")
        assert "requests_per_hour" in line["error"]
        assert "often" in line["error"], "all errors are told at once"
        (tmp_path / "panel.key").write_text(rotated)
        config.write_text(good.replace("tracker.db", "another.db"))
        running.signal(signal.SIGHUP)
        running.until("daemon.reloaded", panels={"acme": "leading"})
        assert running.lines("configuration.database_kept")
        failed = running.until("round.failed", outcome="key_refused")
        assert failed["panel"] == "acme"
        config.write_text(good.replace("[every]", "paused = true\n[every]"))
        running.signal(signal.SIGHUP)
        running.until("daemon.reloaded", 2)
        assert running.lines("configuration.warning", warning="every panel is paused: nothing is polled")
        running.signal()
        assert running.ended() == 0
    assert not (tmp_path / "another.db").exists()
    told = "".join(running.raw)
    assert KEY not in told
    assert rotated not in told


def test_a_terminal_that_goes_away_ends_it(tmp_path: Path, panel: Simulator) -> None:
    config = configure(tmp_path, {"acme": panel.url}, f"sqlite:///{tmp_path}/tracker.db")
    near, far = pty.openpty()
    with subprocess.Popen(
        [*TRACKER, "run", "--config", str(config)],
        stdin=far,
        stdout=far,
        stderr=far,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(2, termios.TIOCSCTTY, 0),  # noqa: PLW1509  # one system call, no lock
    ) as process:
        try:
            os.close(far)
            said = b""
            while b"daemon.started" not in said:
                said += os.read(near, 65536)
            process.send_signal(signal.SIGHUP)
            while b"daemon.reloaded" not in said:
                said += os.read(near, 65536)
            os.close(near)
            assert process.wait(PATIENCE) == 0
        finally:
            process.kill()
