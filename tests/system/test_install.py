"""Installed as docs/operations.md says, the service is what that page promises."""

import json

from system import page
from system.machine import Machine
from system.service import KEY_FILE, STATE, Service


def test_it_is_active_enabled_and_says_what_it_does(installed: Service) -> None:
    assert installed["ActiveState"] == "active"
    assert installed["UnitFileState"] == "enabled"
    assert installed["User"] == "tracker"
    assert "1 of 1 panels" in installed["StatusText"]


def test_orders_are_followed_and_the_commands_of_the_page_reach_the_same_history(service: Service) -> None:
    service.works()
    told = json.loads(service.machine.run("as-tracker orders --json"))
    assert len(told) >= 3
    service.machine.run("as-tracker track --panel senderin 4711")
    assert "4711" in service.machine.run("as-tracker orders")


def test_the_exit_code_of_a_command_run_as_the_service_is_its_own(service: Service) -> None:
    assert service.machine.run("as-tracker show 99 || echo $?").splitlines()[-1] == "1"


def test_the_group_reads_the_history_and_nobody_else_does(service: Service) -> None:
    machine = service.machine
    machine.run("id reader 2>/dev/null || useradd --groups tracker reader; id other 2>/dev/null || useradd other")
    assert machine.run(f"stat -c '%a %U %G' {STATE} {STATE}/tracker.db").splitlines() == [
        "750 tracker tracker",
        "640 tracker tracker",
    ]
    reading = "TRACKER_CONFIG=/etc/tracker/tracker.toml tracker db status"
    assert "fits" in machine.run(f"runuser -u reader -- env {reading}")
    for attempt in (f"ls {STATE}", f"cat {STATE}/tracker.db", "cat /etc/tracker/tracker.toml"):
        assert "Permission denied" in machine.run(f"runuser -u other -- {attempt}", check=False)
    for attempt in (f"touch {STATE}/x", f"sh -c ': >> {STATE}/tracker.db'", "cat /etc/tracker/senderin.key"):
        assert "Permission denied" in machine.run(f"runuser -u reader -- {attempt}", check=False)


def test_the_key_is_in_no_journal_line_no_environment_no_command_line_and_no_file(
    service: Service, key: str
) -> None:
    service.works()
    machine = service.machine
    assert key not in machine.run("journalctl --all --output=export")
    grep = "grep --files-with-matches --recursive --text --no-messages --fixed-strings --file=/run/panel.key"
    assert (
        machine.run(f"{grep} /run/credentials/tracker.service")
        == "/run/credentials/tracker.service/senderin.key\n"
    )
    assert machine.run(f"{grep} /proc/[0-9]*/environ /proc/[0-9]*/cmdline || true") == ""
    assert machine.run(f"{grep} {STATE} /var/log /run/log /tmp /opt || true") == ""


def test_the_journal_has_the_priorities_of_the_lines(service: Service) -> None:
    since = service.cursor()
    service.configure("nonsense = 1\n")
    service.machine.run("systemctl reload tracker")
    service.machine.until(lambda: service.has("configuration.refused", since), "the refusal")
    priorities = {
        json.loads(line["MESSAGE"])["event"]: line["PRIORITY"]
        for line in service.lines(since)
        if line["MESSAGE"].startswith("{")
    }
    assert priorities["configuration.refused"] == "3"
    assert priorities.get("round.finished", "6") == "6"
    shown = service.lines(since, worst=4)
    assert [json.loads(line["MESSAGE"])["event"] for line in shown] == ["configuration.refused"]


def test_backup_and_restore_as_the_page_says(service: Service, machine: Machine) -> None:
    service.works()
    count = service.sql("SELECT count(*) FROM orders")
    for block in page.commands("Back up"):
        machine.run(block)
    service.sql("DELETE FROM progress")
    service.sql("DELETE FROM transitions WHERE order_key = (SELECT max(id) FROM orders WHERE seq > 0)")
    for block in page.commands("Restore"):
        machine.run(block)
    assert service.sql("SELECT count(*) FROM orders") == count
    broken = "SELECT count(*) FROM orders o WHERE seq <> (SELECT count(*) FROM transitions WHERE order_key = o.id)"
    assert service.sql(broken) == [(0,)]
    service.wait_out_lease()  # which the daemon had when the backup was made
    service.works()


def test_rotating_a_key_as_the_page_says(service: Service, key: str) -> None:
    since = service.cursor()
    service.machine.write(KEY_FILE, "an-old-key")
    service.machine.run("systemctl restart tracker")
    service.machine.until(lambda: service.has("panel.key_refused", since), "the old key to be refused")
    for block in page.commands("Rotate a key"):
        service.machine.run(block, key + "\n")
    service.works()
    assert service.machine.run(f"stat -c '%a %U' {KEY_FILE}") == "600 root\n"


def test_an_upgrade_as_the_page_says_goes_on_with_the_same_history(service: Service) -> None:
    service.works()
    (before,) = service.sql("SELECT count(*) FROM transitions")
    for block in page.commands("Upgrade"):
        service.machine.run(block, PIP_NO_INDEX="1", PIP_FIND_LINKS="/root/release/wheels")
    (after,) = service.sql("SELECT count(*) FROM transitions")
    assert after >= before
    service.works()
