"""Mutants of the pure modules: small faults made one by one, which the module's own tests must notice.

`mutmut` makes them and runs the tests, in a copy of the project. What survives is explained in `mutants.toml`, or
it is an AssertionError with its diff. What stands outside of functions (tables, limits, patterns) is not mutated.
"""

import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from proof.table import Figure, Profile

PROJECT: Final = Path(__file__).parents[2]
EXPLAINED: Final = Path(__file__).with_suffix(".toml")

_DECIDING: Final = (
    *("test_decide.py", "test_decide_histories.py", "test_decide_missing.py", "test_decide_refills.py"),
    "test_grace.py",
)
_READING: Final = ("test_wire.py", "test_wire_sentences.py", "test_fields.py")
TESTS: Final[Mapping[str, tuple[str, ...]]] = {
    "tracker/decide.py": _DECIDING,
    "tracker/grace.py": _DECIDING,
    "tracker/pace.py": ("test_pace.py",),
    "tracker/catalog.py": ("test_catalog.py",),
    "tracker/panel/wire.py": _READING,
    "tracker/panel/fields.py": _READING,
    "tracker/panel/words.py": _READING,
    "tracker/panel/decode.py": _READING,
}
"""A module, and those of the tests that must notice whatever happens to it."""

_CONFIGURATION: Final = """
[tool.mutmut]
source_paths = ["tracker"]
only_mutate = ["{module}"]
also_copy = ["migrations", "alembic.ini"]
pytest_add_cli_args = ["-n0", "-p", "no:cacheprovider"]
pytest_add_cli_args_test_selection = {tests}
use_git_change_detection = false
use_setproctitle = false
"""

_STEADY: Final = """
from hypothesis import HealthCheck, Phase, settings

settings.register_profile(
    "mutants", deadline=None, derandomize=True, database=None,
    phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck),
)
settings.load_profile("mutants")
"""
"""The same examples for every mutant, and no death by slowness."""

_CACHE: Final = re.compile(r"^@lru_cache.*\n|^from functools import lru_cache\n", re.MULTILINE)
"""Functions with decorators are not mutated, and a cache changes no result."""

_EXAMPLES: Final = re.compile(r"max_examples=[0-9]+")
"""A mutant must not need a thousand examples to be noticed."""


class Survivor(NamedTuple):
    """A mutant that no test noticed: a line as it was, and as it became."""

    module: str
    was: str
    became: str


def prove(profile: Profile, url: str) -> Iterator[Figure]:  # noqa: ARG001  # as every proof; these know no database
    """Count the mutants of each pure module; in the short profile of the smallest."""
    known = explained()
    for module in TESTS if profile.long else ("tracker/catalog.py",):
        profile.say(f"mutants of {module}")
        with tempfile.TemporaryDirectory(prefix="tracker-mutants-") as folder:
            count, survivors = mutants_of(module, Path(folder))
        news = [each for each in survivors if each not in known]
        told = "\n".join(f"{module}\n- {each.was}\n+ {each.became}" for each in news)
        assert not news, f"{len(news)} mutants survive unexplained:\n{told}"
        result = f"{count - len(survivors)} killed, {len(survivors)} explained one by one"
        yield Figure("P1 P2 P4", f"mutants of `{module}`", count, result)


def explained() -> dict[Survivor, str]:
    """Return why each known survivor may live."""
    told = tomllib.loads(EXPLAINED.read_text(encoding="utf-8"))["explained"]
    return {Survivor(one["module"], *mutant): one["why"] for one in told for mutant in one["mutants"]}


def mutants_of(module: str, folder: Path) -> tuple[int, list[Survivor]]:
    """Make and test all mutants of a module in an empty folder; return how many there were, and who survived."""
    _copy(module, folder)
    _mutmut(folder, "run")
    results = dict(re.findall(r"^ +(\S+): (.+)$", _mutmut(folder, "results", "--all", "1"), re.MULTILINE))
    assert results, f"no mutants of {module}"
    living = [name for name, result in results.items() if result not in {"killed", "timeout"}]
    return len(results), [_survivor(module, _mutmut(folder, "show", name)) for name in living]


def _copy(module: str, folder: Path) -> None:
    for name in ("tracker", "migrations", "tests"):
        shutil.copytree(PROJECT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    for path in (folder / "tracker").rglob("*.py"):
        path.write_text(_CACHE.sub("", path.read_text(encoding="utf-8")), encoding="utf-8")
    for path in (folder / "tests").glob("test_*.py"):
        path.write_text(_EXAMPLES.sub("max_examples=100", path.read_text(encoding="utf-8")), encoding="utf-8")
    shutil.copy(PROJECT / "alembic.ini", folder)
    tests = [f"tests/{name}" for name in TESTS[module]]
    settings = (PROJECT / "pyproject.toml").read_text(encoding="utf-8")
    (folder / "pyproject.toml").write_text(settings + _CONFIGURATION.format(module=module, tests=tests))
    (folder / "tests" / "conftest.py").write_text(
        _STEADY
    )  # in place of one for databases, which none of these needs


def _mutmut(folder: Path, *arguments: str) -> str:
    """Run the tool in a folder; return what it printed."""
    tool = Path(sys.executable).with_name("mutmut")
    assert tool.exists(), "mutmut is not installed here: pip install -e '.[test,mutants]'"
    command = [str(tool), *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    said = [line for line in done.stdout.splitlines() if " " not in line[:2]]  # the others are a wheel that turns
    assert done.returncode == 0, f"{arguments}: {done.returncode}: {said[-40:]} {done.stderr[-4000:]}"
    return done.stdout


def _survivor(module: str, diff: str) -> Survivor:
    lines = [line for line in diff.splitlines() if not line.startswith(("---", "+++"))]
    was, became = (" ".join(line[1:].strip() for line in lines if line.startswith(sign)) for sign in "-+")
    return Survivor(module, was, became)
