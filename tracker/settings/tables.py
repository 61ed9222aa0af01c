"""The tables of the file as models, and pydantic's errors turned into sentences with the line to write."""

import json
import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
)
from pydantic_core import ErrorDetails

from tracker.model import Keep
from tracker.settings import values


class Folder(NamedTuple):
    """What relative paths of the file are relative to."""

    path: Path
    home: str | None


class Problem(NamedTuple):
    """One error in the file; `what` holds the remedy and never the value."""

    where: str
    """Path of the key, such as `panels.senderin.in_flight`."""
    what: str


def _url(text: str, info: ValidationInfo) -> str:
    # `allow_http` stands first in the model; where it is itself wrong, its own error is enough.
    return values.panel_url(text, allow_http=info.data.get("allow_http", True))


def _database_url(text: str, info: ValidationInfo) -> str:
    return values.database_url(text, *cast("Folder", info.context))


_Interval = Annotated[float, BeforeValidator(values.interval)]
_Kept = Annotated[float | None, BeforeValidator(values.keeping)]


class _Table(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)


class PanelTable(_Table):
    """`[panels.NAME]`."""

    allow_http: bool = False
    url: Annotated[str, AfterValidator(_url)]
    key_file: str | None = None
    requests_per_minute: Annotated[float, Field(ge=1, le=60_000)] = 60.0
    in_flight: Annotated[int, Field(ge=1, le=32)] = 2
    paused: bool = False


class EveryTable(_Table):
    """`[every]`."""

    statuses: _Interval = 60.0
    refills: _Interval = 300.0
    balance: _Interval = 300.0
    catalog: _Interval = 3600.0


class KeepTable(_Table):
    """`[keep]`."""

    rounds: _Kept = Keep().rounds
    anomalies: _Kept = Keep().anomalies
    progress: _Kept = Keep().progress
    closed_orders: _Kept = Keep().closed_orders


class FileTable(_Table):
    """The whole file."""

    database_url: Annotated[str, AfterValidator(_database_url)] | None = None
    panels: dict[Annotated[str, AfterValidator(values.panel_name)], PanelTable] = {}
    listen: Annotated[str, AfterValidator(values.listen)] | None = None
    every: EveryTable = EveryTable()
    keep: KeepTable = KeepTable()


_KNOWN: Final[dict[str, type[_Table]]] = {
    "": FileTable,
    "panels": PanelTable,
    "every": EveryTable,
    "keep": KeepTable,
}

_WANTED: Final = {
    "database_url": ("the URL of a database", 'database_url = "sqlite:///tracker.db"'),
    "listen": ("an address and a port", 'listen = "127.0.0.1:9470"'),
    "panels": ("a table for each panel", "[panels.senderin]"),
    "every": ("a table", "[every]"),
    "keep": ("a table", "[keep]"),
    "url": ("the address of the panel's API", 'url = "https://senderin.ru/api/v2"'),
    "key_file": ("the path of a file that holds the key", 'key_file = "/etc/tracker/senderin.key"'),
    "requests_per_minute": ("a number from 1 to 60000, without quotes", "requests_per_minute = 60"),
    "in_flight": ("a whole number from 1 to 32, without quotes", "in_flight = 2"),
    "paused": ("true or false, without quotes", "paused = true"),
    "allow_http": ("true or false, without quotes", "allow_http = true"),
}
"""By key: what it must be, and a line that is right."""

_EXAMPLES: Final = {"every": "5m", "keep": "90d"}
"""By table: a duration that is right in it."""

_INLINE_KEY: Final = re.compile(r"(?i)key|token|secret|password")
_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")


def read(data: Mapping[str, Any], folder: Folder) -> tuple[FileTable | None, list[Problem]]:
    """Return the checked tables, or None and all that is wrong with them."""
    try:
        return FileTable.model_validate(data, context=folder), []
    except ValidationError as error:
        return None, [
            Problem(spelled_path(item["loc"]), _what(item)) for item in error.errors(include_input=False)
        ]


def raw_panels(data: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield name and table of every panel whose key can be looked for, be its other values right or wrong."""
    panels = data.get("panels")
    for name, table in panels.items() if isinstance(panels, dict) else ():
        if not isinstance(table, dict) or not isinstance(table.get("key_file", ""), str):
            continue
        inline = any(_INLINE_KEY.search(key) for key in table.keys() - PanelTable.model_fields.keys())
        if values.is_panel_name(name) and not inline:
            yield name, table


def spelled_path(loc: tuple[int | str, ...]) -> str:
    """Return the path of a key as TOML writes it; odd names come quoted, with escapes."""
    parts = [str(part) for part in loc if part != "[key]"]
    return ".".join(part if _BARE_KEY.fullmatch(part) else json.dumps(part) for part in parts)


def _what(error: ErrorDetails) -> str:
    loc = error["loc"]
    if error["type"] == "value_error":
        example = _EXAMPLES.get(str(loc[0]))
        return str(error["ctx"]["error"]) + (f'; write: {loc[1]} = "{example}"' if example else "")
    if error["type"] == "extra_forbidden":
        return _unknown(str(loc[0]) if len(loc) > 1 else "", str(loc[-1]))
    if len(loc) == 2 and loc[0] == "panels":
        return "must be a table; write: [panels.senderin]"
    wanted, line = _WANTED[str(loc[-1])]
    return f"is missing; write: {line}" if error["type"] == "missing" else f"must be {wanted}; write: {line}"


def _unknown(table: str, name: str) -> str:
    """Return what to do about a key that `table` ("" for the file itself) does not know."""
    near = get_close_matches(name, _KNOWN[table].model_fields, n=1)
    if near:
        return f"is not known; did you mean `{near[0]}`?"
    if _INLINE_KEY.search(name):
        return (
            "must not stand in this file: put the key alone into a file that only tracker's user can read "
            '(mode 600) and write: key_file = "/etc/tracker/senderin.key"'
        )
    for home, fields in _KNOWN.items():
        if near := get_close_matches(name, fields.model_fields, n=1):
            return f"is not known here; `{near[0]}` belongs {_PLACES[home]}"
    return f"is not known; known here: {', '.join(_KNOWN[table].model_fields)}"


_PLACES: Final = {
    "": "at the top of the file, above the first [table]",
    "panels": "below [panels.NAME]",
    "every": "below [every]",
    "keep": "below [keep]",
}
