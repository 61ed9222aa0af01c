"""Every recipe of docs/history.md, run on both databases as it stands there."""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final, NamedTuple

import psycopg
import pytest
from filled import fill, whole_second

from tracker.store.database import opened

pytestmark = pytest.mark.once

PAGE: Final = (Path(__file__).parents[1] / "docs" / "history.md").read_text()
QUESTION: Final = re.compile(
    r"^\*\*(?P<question>.+?)\*\*.*?→ (?P<columns>.+?)\n\n(?P<blocks>(?:```sql\n.+?```\n+)+)",
    re.MULTILINE | re.DOTALL,
)


class Recipe(NamedTuple):
    """One question and a query that answers it."""

    question: str
    columns: list[str]
    sql: str
    only: str
    """The one database that it is for; empty: both."""


def recipes() -> Iterator[Recipe]:
    """Yield the recipes of the page."""
    for found in QUESTION.finditer(_section()):
        columns = re.findall(r"`(\w+)`", found["columns"])
        for sql in re.findall(r"```sql\n(.+?)```", found["blocks"], re.DOTALL):
            marked = re.match(r"-- (SQLite|Postgres)\n", sql)
            yield Recipe(found["question"], columns, sql, marked[1].lower() if marked else "")


def _section() -> str:
    found = re.search(r"^## Recipes\n.*?(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[0]


RECIPES: Final = list(recipes())
ASKED: Final = [
    pytest.param(database, one, id=f"{database}-{one.question}")
    for database in ("sqlite", "postgres")
    for one in RECIPES
    if one.only in {"", database}
]


@pytest.fixture(scope="module")
def known(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Connect with the plain driver to a filled database; recipes only read, so they share it."""
    path = tmp_path_factory.mktemp("recipes") / "tracker.db"
    server = None if request.param == "sqlite" else request.getfixturevalue("postgres_or_why")
    if isinstance(server, str):
        pytest.skip(server)
    name = server.create() if server else ""
    url = server.url(name) if server else f"sqlite:///{path}"
    with opened(url, create=True) as database:
        database.upgrade()
        fill(database, whole_second())
    plain: Any = psycopg.connect(url.replace("+psycopg", "")) if server else sqlite3.connect(path)
    with closing(plain):
        yield plain
    if server:
        server.drop(name)


@pytest.mark.parametrize(("known", "recipe"), ASKED, indirect=["known"])
def test_a_recipe_answers_with_the_columns_that_it_names(known: Any, recipe: Recipe) -> None:  # noqa: ANN401  # of either driver
    cursor = known.execute(recipe.sql)
    rows = cursor.fetchall()
    assert [column[0] for column in cursor.description] == recipe.columns
    assert rows, "the history of the tests has nothing to answer this with"


def test_no_recipe_is_overlooked() -> None:
    assert len(RECIPES) == _section().count("```sql") >= 16
    assert {one.only for one in RECIPES} == {"", "sqlite", "postgres"}
