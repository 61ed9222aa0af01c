"""The pages say what is there."""

import re
from pathlib import Path

import pytest

from tracker.cli.main import COMMANDS
from tracker.store.schema import metadata

pytestmark = pytest.mark.once

ROOT = Path(__file__).parents[1]
HISTORY = (ROOT / "docs" / "history.md").read_text()


@pytest.mark.parametrize("table", sorted(metadata.tables))
def test_every_table_and_column_is_documented(table: str) -> None:
    told = set(re.findall(r"`([a-z_]+)`", HISTORY))
    assert table in HISTORY
    assert {column.name for column in metadata.tables[table].columns} <= told


def test_every_command_is_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    assert [name for name in COMMANDS if f"tracker {name}" not in readme] == []


WHOLE = {
    *("checks", "rounds", "settings", "simulator", "store/reading/history", "store/reading/views"),
    *("cli/acting", "cli/asking", "cli/following", "cli/keeping", "cli/working"),
}
"""Rooms of which the page tells what they are for, and not each module."""


def test_every_module_has_its_room_in_the_architecture() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    rooms = set()
    for path in (ROOT / "tracker").rglob("*.py"):
        module = path.relative_to(ROOT / "tracker")
        whole = next((folder for folder in map(str, module.parents) if folder in WHOLE), None)
        if whole is not None:
            rooms.add(f"{Path(whole).name}/")
        elif not path.name.startswith("__"):
            rooms.add(path.name)
    assert sorted(room for room in rooms if room not in page) == []
