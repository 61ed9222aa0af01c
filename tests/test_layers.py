"""Imports point one way, and the pure modules are pure: what `docs/architecture.md` promises about the code."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[1]
PURE = ("decide", "grace", "pace", "catalog", "model", "errors", "actions/forms", "actions/sentences")

IMPURE_MODULES = frozenset({"os", "random", "secrets", "socket", "subprocess", "sys", "threading", "time", "uuid"})
IMPURE_CALLS = frozenset({"now", "utcnow", "today", "open", "input", "print", "getenv"})


def impurities(source: str) -> list[str]:
    """Return where a module imports or calls what reads a clock, chance, or anything outside of it."""
    found: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names = {(node.module or "").partition(".")[0]}
        elif isinstance(node, ast.Call):
            called = node.func
            name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
            found += [f"line {node.lineno}: {name}()"] if name in IMPURE_CALLS else []
            continue
        else:
            continue
        found += [f"line {node.lineno}: import {name}" for name in sorted(names & IMPURE_MODULES)]
    return found


@pytest.mark.parametrize("module", PURE)
def test_a_pure_module_reads_no_clock_no_chance_and_no_environment(module: str) -> None:
    assert impurities((ROOT / "tracker" / f"{module}.py").read_text()) == []


@pytest.mark.parametrize(
    "line",
    ["import time", "from os import environ", "x = datetime.now(UTC)", "import random as r", "y = open('f')"],
)
def test_the_check_sees_what_is_impure(line: str) -> None:
    assert len(impurities(line)) == 1


def test_imports_point_one_way() -> None:
    linter = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("where", "line", "contract"),
    [
        ("tracker/pace.py", "import tracker.decide", "imports point one way"),
        ("tracker/rounds/balance.py", "import tracker.store.engine", "rounds know the panel and the store"),
        ("tracker/daemon/post.py", "import httpx", "HTTP is spoken in panel only"),
        ("tracker/cli/asking/rounds.py", "import sqlalchemy", "SQL is spoken in store only"),
        ("tracker/rounds/desk.py", "import apscheduler", "ticks are made in daemon only"),
        ("tracker/rounds/desk.py", "import prometheus_client", "metrics are spelled in daemon only"),
        ("tracker/decide.py", "import structlog", "the pure modules reach nothing"),
        ("tracker/daemon/post.py", "import tracker.actions", "the daemon never buys"),
    ],
)
def test_each_contract_breaks_where_it_should(tmp_path: Path, where: str, line: str, contract: str) -> None:
    for file in [ROOT / "pyproject.toml", *(ROOT / "tracker").rglob("*.py")]:
        copy = tmp_path / file.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(file.read_text())
    spoiled = tmp_path / where
    spoiled.write_text(f"{spoiled.read_text()}\n{line}\n")
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()", "--no-cache"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    broken = [told for told in done.stdout.splitlines() if " BROKEN" in told]
    assert any(told.startswith(contract) for told in broken), done.stdout


def test_no_module_is_longer_than_300_lines() -> None:
    sizes = {path: len(path.read_text().splitlines()) for path in (ROOT / "tracker").rglob("*.py")}
    # The schema is one list of tables: cut in two it would be harder to read.
    assert {path.name for path, size in sizes.items() if size > 300} <= {"schema.py"}
