"""What a restart cannot mend is not restarted, and the journal says what to do."""

import pytest
from system.service import GOOD, KEY_FILE, STATE, Service

FAILED = {"ActiveState": "failed", "NRestarts": "0"}


def said(service: Service, since: str) -> str:
    """Return what the program or systemd said at the priority of an error or worse."""
    return "\n".join(line["MESSAGE"] for line in service.lines(since, worst=3))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (GOOD.replace("url =", "adress ="), "panels.senderin.url: is missing"),
        (GOOD + '[panels.other]\nurl = "https://example.org/api"\n', "panels.other.key_file"),
        ("[panels", "is not TOML"),
    ],
)
def test_a_wrong_configuration_ends_it_for_good(service: Service, text: str, complaint: str) -> None:
    since = service.cursor()
    service.configure(text)
    assert service.fails() == FAILED | {"ExecMainStatus": "78"}
    assert complaint in said(service, since)


def test_an_empty_key_file_ends_it_for_good(service: Service, key: str) -> None:
    since = service.cursor()
    service.machine.write(KEY_FILE, "")
    try:
        assert service.fails() == FAILED | {"ExecMainStatus": "78"}
    finally:
        service.machine.write(KEY_FILE, key)
    assert "senderin.key is empty" in said(service, since)


def test_a_key_file_that_is_not_there_ends_it_for_good(service: Service) -> None:
    since = service.cursor()
    service.machine.run(f"mv {KEY_FILE} {KEY_FILE}.away")
    try:
        assert service.fails() == FAILED | {"ExecMainStatus": "243"}
    finally:
        service.machine.run(f"mv {KEY_FILE}.away {KEY_FILE}")
    assert "credentials" in said(service, since)


@pytest.mark.parametrize(
    "spoil",
    [
        f"echo this is no database, whatever its name may say > {STATE}/tracker.db",
        f"chown root:root {STATE}/tracker.db; chmod 600 {STATE}/tracker.db",
    ],
)
def test_an_unfit_database_ends_it_for_good(service: Service, spoil: str) -> None:
    since = service.cursor()
    aside = f"{STATE}.aside"
    service.machine.run(f"systemctl stop tracker; cp --archive {STATE} {aside}; {spoil}")
    try:
        assert service.fails() == FAILED | {"ExecMainStatus": "10"}
    finally:
        service.machine.run(f"rm -rf {STATE}; mv {aside} {STATE}")
    assert "tracker.db" in said(service, since)


def test_a_wrong_option_ends_it_for_good(service: Service) -> None:
    service.drop_in("changed", "ExecStart=\nExecStart=/opt/tracker/current/bin/tracker run --fast")
    assert service.fails() == FAILED | {"ExecMainStatus": "2"}


def test_a_wrong_key_is_no_fault_of_the_service(service: Service, key: str) -> None:
    since = service.cursor()
    service.machine.write(KEY_FILE, "somebody-elses-key")
    try:
        service.machine.run("systemctl restart tracker")
        service.machine.until(lambda: service.has("panel.key_refused", since), "the refusal")
        assert (service["ActiveState"], service["NRestarts"]) == ("active", "0")
    finally:
        service.machine.write(KEY_FILE, key)
