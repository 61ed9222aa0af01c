"""The wheel, as somebody gets it: built, installed into an empty environment, run from another folder."""

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[1]


def run(*command: object, cwd: Path) -> str:
    """Run a command to its good end and return what it said."""
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "TRACKER", "VIRTUAL"))
    }
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=clean,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def pip(*arguments: object, cwd: Path) -> None:
    """Run pip; skips, with the reason, where the registry cannot be reached."""
    try:
        run(sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments, cwd=cwd)
    except AssertionError as failure:
        if any(
            sign in str(failure)
            for sign in ("NewConnectionError", "NameResolutionError", "No matching distribution")
        ):
            pytest.skip(f"the package registry cannot be reached: {failure}")
        raise


@pytest.mark.timeout(600)
def test_the_wheel_runs_the_demo_in_an_empty_environment_from_another_folder(tmp_path: Path) -> None:
    pip("wheel", ROOT, "--no-deps", "-w", tmp_path / "dist", cwd=tmp_path)
    (wheel,) = (tmp_path / "dist").glob("order_tracker-*.whl")
    venv.create(tmp_path / "env", with_pip=False, symlinks=True)
    binaries = tmp_path / "env" / "bin"
    pip("--python", binaries / "python", "install", "--no-compile", wheel, cwd=tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    where = run(binaries / "python", "-c", "import tracker; print(tracker.__file__)", cwd=elsewhere)
    assert str(tmp_path / "env") in where
    url = f"sqlite:///{elsewhere}/demo.db"
    told = run(binaries / "tracker", "demo", "--seconds", "2", "--database", url, cwd=elsewhere)
    assert "completed=" in told
    status = run("env", f"TRACKER_DATABASE_URL={url}", binaries / "tracker", "db", "status", cwd=elsewhere)
    assert "fits" in status
    assert (Path(where.strip()).parent / "py.typed").is_file()
