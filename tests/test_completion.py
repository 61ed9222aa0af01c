"""What a shell is offered when TAB is pressed: quickly, silently, and without a key."""

import os
import shlex
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from cli_setting import KEY, TRACKER, configure

from tracker.cli.main import COMMANDS
from tracker.model import STATES


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a configuration of two panels, and a `tracker` to call by its name."""
    configure(tmp_path, {"acme": "https://acme.example", "beta": "https://beta.example"}, "sqlite:///no.db")
    (tmp_path / "panel.key").unlink()  # nothing here needs it
    program = tmp_path / "bin" / "tracker"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {shlex.join(TRACKER)} "$@"\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return tmp_path


def environment(folder: Path, **more: str) -> dict[str, str]:
    return {"PATH": f"{folder}/bin:{os.environ['PATH']}", "HOME": str(folder), "PYTHONWARNINGS": "error", **more}


def offered(folder: Path, *words: str) -> list[str]:
    """Return what is offered for the last of the words, as the scripts of bash and zsh ask for it."""
    asked = {
        "_TRACKER_COMPLETE": "bash_complete",
        "COMP_WORDS": shlex.join(["tracker", *words[:-1]]) + f" {words[-1]}",
        "COMP_CWORD": str(len(words)),
    }
    command = [str(folder / "bin" / "tracker")]
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment(folder, **asked), cwd=folder, check=False
    )
    assert done.stderr == ""
    return [line.partition(",")[2] for line in done.stdout.splitlines() if line]


def test_commands_states_panels_and_columns_are_offered(folder: Path) -> None:
    assert offered(folder, "") == list(COMMANDS)
    assert offered(folder, "orders", "--state", "") == [*STATES, "stuck"]
    assert offered(folder, "orders", "--panel", "") == ["acme", "beta"]
    assert offered(folder, "show", "--panel", "b") == ["beta"]
    assert offered(folder, "orders", "--columns", "order_id,sil") == ["order_id,silent_seconds"]
    assert offered(folder, "balance", "--sort", "clo") == ["closing"]
    assert offered(folder, "stats", "re") == ["refunds"]


def test_where_something_is_wrong_nothing_is_offered_and_nothing_is_said(folder: Path) -> None:
    (folder / "tracker.toml").write_text("[panels.acme\n" + KEY)
    assert offered(folder, "orders", "--panel", "") == []
    assert offered(folder, "orders", "--config", "nowhere.toml", "--panel", "") == []
    assert offered(folder, "balance", "--sort", "nonsense") == []


def test_the_configuration_that_is_named_is_the_one_that_is_read(folder: Path) -> None:
    other = folder / "other.toml"
    other.write_text((folder / "tracker.toml").read_text().replace("acme", "gamma"))
    assert offered(folder, "orders", "--config", "other.toml", "--panel", "") == ["gamma", "beta"]


def script_of(shell: str) -> str:
    done = subprocess.run([*TRACKER, "completion", shell], capture_output=True, text=True, check=True)
    return done.stdout


def test_a_real_bash_completes_a_word(folder: Path) -> None:
    program = """
source <(tracker completion bash)
press() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=(); $F tracker; echo "${COMPREPLY[*]}"; }
F=$(complete -p tracker | sed 's/.*-F \\([^ ]*\\).*/\\1/')
press tracker anom
press tracker orders --state mi
press tracker orders --columns order_id,charge,rema
press tracker orders --panel be
"""
    done = subprocess.run(
        ["bash", "--norc", "-c", program],
        capture_output=True,
        text=True,
        env=environment(folder),
        cwd=folder,
        check=False,
    )
    assert (done.stdout.splitlines(), done.stderr) == (
        ["anomalies", "missing", "order_id,charge,remains", "beta"],
        "",
    )


@pytest.mark.parametrize(
    ("shell", "words", "at"),
    [("zsh", "tracker orders --state mi", "3"), ("fish", "tracker orders --state mi", "mi")],
)
def test_zsh_and_fish_ask_in_their_own_way(folder: Path, shell: str, words: str, at: str) -> None:
    script = script_of(shell)
    assert f"_TRACKER_COMPLETE={shell}_complete" in script
    asked = {"_TRACKER_COMPLETE": f"{shell}_complete", "COMP_WORDS": words, "COMP_CWORD": at}
    command = [str(folder / "bin" / "tracker")]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(folder, **asked), check=True)
    assert "missing" in done.stdout
    if executable := shutil.which(shell):  # the syntax, where the shell itself is at hand
        subprocess.run([executable, "-n", "/dev/stdin"], input=script, text=True, check=True)


def test_a_list_of_columns_is_not_cut_at_its_commas_in_fish() -> None:
    assert '(string split --max 1 "," $completion)' in script_of("fish")


def test_completing_waits_for_no_database_driver_and_no_table() -> None:
    code = """
import os, sys
os.environ |= {"_TRACKER_COMPLETE": "bash_complete", "COMP_WORDS": "tracker %s", "COMP_CWORD": "2"}
from tracker.cli.main import main
try:
    main()
except SystemExit:
    print(*sys.modules)
"""
    heavy = {"sqlalchemy", "httpx", "psycopg", "pydantic", "rich.table", "structlog", "apscheduler", "textual"}
    for command in ("orders", "show", "services", "balance", "stats", "refills", "rounds", "completion"):
        done = subprocess.run([sys.executable, "-c", code % command], capture_output=True, text=True, check=True)
        assert heavy.isdisjoint(done.stdout.split()), command
