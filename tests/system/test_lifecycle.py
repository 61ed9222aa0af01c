"""Start, reload, stop, kill, hang: what systemd sees, and what the history keeps."""

import sqlite3
from contextlib import closing

from system.service import GOOD, SLOW_PANEL, SLOW_PORT, STATE, Service


def test_it_is_active_only_once_the_schema_fits_and_everything_ticks(service: Service) -> None:
    service.machine.run("systemctl stop tracker")
    with closing(sqlite3.connect(f"{service.machine.root}{STATE}/tracker.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        service.machine.run("systemctl start --no-block tracker")
        service.machine.until(lambda: service.has_open("tracker.db"), "a look at the database")
        assert service["ActiveState"] == "activating"
        other.execute("ROLLBACK")
    service.machine.until(lambda: service["ActiveState"] == "active", "the start")
    service.works()


def test_a_reload_adds_and_removes_a_panel_in_the_same_process(service: Service) -> None:
    pid, since = service["MainPID"], service.cursor()
    service.configure(GOOD + SLOW_PANEL)
    service.machine.run("systemctl reload tracker")
    service.machine.until(lambda: "of 2 panels" in service["StatusText"], "the second panel")
    service.configure(GOOD)
    service.machine.run("systemctl reload tracker")
    service.machine.until(lambda: "of 1 panels" in service["StatusText"], "its removal")
    assert service["MainPID"] == pid
    leading = [told["panel"] for told in service.events(since) if told["event"] == "panel.leading"]
    assert leading == ["slow"], "the other panel was not disturbed"
    service.works()


def test_a_bad_file_keeps_the_old_configuration_and_says_why(service: Service) -> None:
    pid, since = service["MainPID"], service.cursor()
    service.configure(GOOD.replace("requests_per_minute = 600", 'requests_per_minute = "many"\nkeyfile = "x"'))
    service.machine.run("systemctl reload tracker")
    service.machine.until(lambda: service.has("configuration.refused", since), "the refusal")
    (told,) = (told for told in service.events(since) if told["event"] == "configuration.refused")
    assert "requests_per_minute" in told["error"]
    assert "key_file" in told["error"]
    assert (service["ActiveState"], service["MainPID"]) == ("active", pid)
    service.works()


def test_a_stop_during_a_request_is_quick_and_clean(service: Service) -> None:
    service.configure(GOOD + SLOW_PANEL)
    service.machine.run("systemctl reload tracker")
    service.machine.until(lambda: service.connected(SLOW_PORT), "a request under way")
    since = service.cursor()
    service.machine.run("timeout 5 systemctl stop tracker")
    assert (service["Result"], service["ExecMainStatus"]) == ("success", "0")
    assert service.has("daemon.stopped", since)
    assert not service.has("daemon.killed", since)


def test_after_a_kill_it_starts_again_and_goes_on(service: Service) -> None:
    service.drop_in("quick", "RestartSec=100ms")
    pid = service["MainPID"]
    service.machine.run(f"kill -KILL {pid}")
    service.machine.until(lambda: service.restarted(pid), "the restart")
    assert service["NRestarts"] == "1"
    service.works()


def test_a_process_that_hangs_is_killed_by_the_watchdog_and_says_where_it_was(service: Service) -> None:
    service.drop_in("quick", "RestartSec=100ms\nWatchdogSec=2s")
    service.machine.run("systemctl restart tracker")
    pid, since = service["MainPID"], service.cursor()
    service.machine.run("sleep 4")  # twice the watchdog's time: work alone keeps it away
    assert (service["MainPID"], service["NRestarts"]) == (pid, "0")
    service.machine.run(f"kill -STOP {pid}")
    service.machine.until(lambda: service.restarted(pid), "the restart")
    lines = [line["MESSAGE"] for line in service.lines(since)]
    assert any("Watchdog timeout" in line for line in lines)
    assert any("Current thread" in line or line.startswith("Thread 0x") for line in lines), "where each thread was"
    service.wait_out_lease()
    service.works()


def test_a_panel_and_a_database_that_do_not_answer_are_no_reason_for_the_watchdog(service: Service) -> None:
    service.drop_in("quick", "WatchdogSec=2s")
    service.configure(GOOD + SLOW_PANEL)
    service.machine.run("systemctl restart tracker")
    pid = service["MainPID"]
    service.machine.until(lambda: service.connected(SLOW_PORT), "a request that takes half a minute")
    with closing(sqlite3.connect(f"{service.machine.root}{STATE}/tracker.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        service.machine.run("sleep 5")  # more than twice the watchdog's time
        other.execute("ROLLBACK")
    assert (service["ActiveState"], service["MainPID"]) == ("active", pid)
    service.works()
