"""The columns and constraints that tables are made of."""

from typing import Any, Final

from sqlalchemy import CheckConstraint, Column, text

from tracker.store.types import Moment, utcnow

DAY_AND_TIME: Final = "[0-9][0-9][0-9][0-9]-[0-1][0-9]-[0-3][0-9] [0-2][0-9]:[0-5][0-9]:[0-5][0-9]"
MICROSECONDS: Final = ".[0-9][0-9][0-9][0-9][0-9][0-9]"


def utc_times(*columns: str) -> list[CheckConstraint]:
    """Keep SQLite's time columns comparable: a text of another form would silently never be due."""
    return [
        CheckConstraint(
            f"{name} IS NULL OR {name} GLOB '{DAY_AND_TIME}{MICROSECONDS}' OR {name} GLOB '{DAY_AND_TIME}'",
            name=f"{name}_is_utc_text",
        ).ddl_if(dialect="sqlite")
        for name in columns
    ]


def an_id(column: str) -> CheckConstraint:
    """Ids travel comma separated in one form field, so they hold no comma and no space."""
    return CheckConstraint(
        f"{column} <> '' AND {column} NOT LIKE '%,%' AND {column} NOT LIKE '% %'", name=f"{column}_is_an_id"
    )


def one_of(column: str, words: tuple[str, ...]) -> CheckConstraint:
    """Limit a column to our own words."""
    return CheckConstraint(f"{column} IN ({', '.join(repr(word) for word in words)})", name=f"{column}_is_known")


def moment(name: str, **options: Any) -> Column[Any]:  # noqa: ANN401  # passed on to Column as they are
    """Make a column for a moment in UTC."""
    return Column(name, Moment, **options)


NOW: Final[dict[str, Any]] = {"nullable": False, "server_default": utcnow()}
ZERO: Final[dict[str, Any]] = {"nullable": False, "server_default": text("0")}
