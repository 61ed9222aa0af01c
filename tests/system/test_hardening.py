"""The unit's directives are in force: what they forbid fails, and is possible in a service without them."""

import json

import pytest
from system.machine import Machine
from system.service import Service

PROBE = "/opt/probe.py"
UNIT = "/run/systemd/system/probe.service"


@pytest.fixture(scope="module")
def freely(installed: Service) -> dict[str, str]:
    """What came of each attempt in a service of root without a single directive."""
    machine = installed.machine
    machine.run(
        f"install -m 644 probe.py {PROBE}; mkdir /home/somebody; touch /home/somebody/file /tmp/of-the-system"
    )
    told = machine.run(f"systemd-run --quiet --pipe --wait --collect /usr/bin/python3 {PROBE}")
    return dict(json.loads(told))


@pytest.fixture(scope="module")
def hardened(freely: dict[str, str], machine: Machine) -> dict[str, str]:
    """What came of each attempt under the directives of the unit; only the program is another one."""
    del freely  # has brought the probe there
    machine.run(f"cp /etc/systemd/system/tracker.service {UNIT}")
    machine.write(
        f"{UNIT}.d/probe.conf",
        f"[Service]\nType=oneshot\nRestart=no\nWatchdogSec=0\nStandardOutput=file:/run/probe.json\n"
        f"ExecStart=\nExecStart=/usr/bin/python3 {PROBE}\n",
    )
    machine.run("systemctl daemon-reload; systemctl start probe")
    return dict(json.loads(machine.run("cat /run/probe.json")))


def test_nothing_that_the_unit_forbids_succeeds(hardened: dict[str, str]) -> None:
    assert [name for name, error in hardened.items() if not error] == []


def test_all_of_it_succeeds_without_the_unit(freely: dict[str, str]) -> None:
    assert {name: error for name, error in freely.items() if error} == {}


def test_the_exposure_is_as_low_as_promised(installed: Service) -> None:
    told = installed.machine.run("systemd-analyze security --no-pager --threshold=12 tracker.service", check=False)
    assert "1.1 OK" in told.splitlines()[-1]


def test_systemd_finds_no_fault_in_the_unit(installed: Service) -> None:
    assert installed.machine.run("systemd-analyze verify /etc/systemd/system/tracker.service") == ""
