"""A Debian in a container, with tracker installed as docs/operations.md says.

These tests take minutes and root, so they run only where they are named: `pytest tests/system`. $DEBIAN chooses
the release; $DEBIAN_ROOT names a folder that debootstrap has made already, which is copied.
"""

import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from system import machine as machines
from system import page
from system.machine import Machine
from system.service import PORT, Service

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SUITE = os.environ.get("DEBIAN", "bookworm")


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    """Leave this folder out unless it, or a file in it, was named."""
    named = any(
        HERE in (path := Path(one.partition("::")[0]).absolute()).parents or path == HERE for one in config.args
    )
    return None if named else True


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give the test that has to wait for the machine the time that this takes."""
    for item in items:
        item.add_marker(pytest.mark.timeout(600))


@pytest.fixture(scope="session")
def key() -> str:
    """A key that is found nowhere else."""
    return f"planted{secrets.token_hex(16)}"


@pytest.fixture(scope="session")
def machine() -> Iterator[Machine]:
    """A booted Debian with a release in /root/release; skips, with the reason, where none can be made."""
    why = machines.missing()
    mirror = machines.mirror() if why is None else None
    if why is None and mirror is None:
        why = "apt knows no mirror of Debian"
    if why is not None:
        pytest.skip(why)
    folder = Path(tempfile.mkdtemp(prefix="tracker-system-"))
    # In memory: dpkg waits for the disk after each file, and there is nothing to delete afterwards.
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3G", "tracker-system", folder], check=False)
    if mounted.returncode != 0:
        folder.rmdir()
        pytest.skip("mounting is not allowed here")
    try:
        with ThreadPoolExecutor() as pool:
            made = pool.submit(_make_debian, str(mirror), folder / "root")
            release = pool.submit(_make_release, folder / "release")
            made.result()
            release.result()
        shutil.copytree(folder / "release", folder / "root" / "root" / "release")
        try:
            booted = Machine(folder / "root")
        except AssertionError as error:
            # Nothing of ours is in it yet: it is this place that does not let one boot.
            pytest.skip(f"a bare Debian does not boot in a container here: {error}")
        try:
            yield booted
        finally:
            booted.close()
    finally:
        subprocess.run(["umount", folder], check=True)
        folder.rmdir()


def _make_debian(mirror: str, root: Path) -> None:
    if ready := os.environ.get("DEBIAN_ROOT"):
        subprocess.run(["cp", "--archive", ready, str(root)], check=True)
        return
    try:
        machines.make_debian(SUITE, mirror, root)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"debootstrap cannot make a Debian here: {error.stdout[-300:]} {error.stderr[-300:]}")


def _make_release(folder: Path) -> None:
    """Build what a release has, and collect the wheels that it needs: the machine has no network."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    subprocess.run([*pip, "wheel", "--no-deps", f"--wheel-dir={folder}", ROOT], check=True)
    (wheel,) = folder.glob("order_tracker-*.whl")
    wanted = [f"--python-version={machines.PYTHONS[SUITE]}", "--only-binary=:all:", f"--dest={folder / 'wheels'}"]
    try:
        subprocess.run([*pip, "download", *wanted, wheel], check=True, capture_output=True, text=True)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"the package registry cannot be reached: {error.stderr[-300:]}")
    shutil.copytree(ROOT / "deploy", folder / "deploy")
    for script in ("panel.py", "probe.py"):
        shutil.copy(HERE / script, folder)


@pytest.fixture(scope="session")
def installed(machine: Machine, key: str) -> Service:
    """The service, installed by the commands of the page; only the panel's address is another one."""
    service = Service(machine)
    *before, start = page.commands("Install")
    for block in before:
        script = block.replace("https://senderin.ru", f"http://127.0.0.1:{PORT}")
        machine.run(script, key + "\n", PIP_NO_INDEX="1", PIP_FIND_LINKS="/root/release/wheels")
    service.start_panels(key)
    machine.run(start)
    return service


@pytest.fixture
def service(installed: Service) -> Service:
    """The same, at work, whatever the test before did to it."""
    installed.mend()
    return installed
