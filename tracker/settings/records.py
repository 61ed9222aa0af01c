"""The effective configuration as frozen records, and the only ways to show it."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from tracker.errors import ConfigurationFault
from tracker.model import Keep
from tracker.settings.values import Address, spelled

HIDDEN: Final = "hidden"

_SECRET_OPTION: Final = re.compile(r"(?i)([?&][^=&]*(?:pass|key|token|secret)[^=&]*=)[^&]*")


class Secret:
    """A text that no print, traceback, `asdict` or JSON can show; `reveal()` is the only way to it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the text; raises ConfigurationFault where it was never read (`need_panels=False`)."""
        if not self._text:
            raise ConfigurationFault("This command did not read the keys of the panels, and now needs one.")
        return self._text

    def __repr__(self) -> str:
        return f"Secret({HIDDEN})"

    def __str__(self) -> str:
        return HIDDEN

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)


@dataclass(frozen=True, slots=True)
class PanelSettings:
    """One panel to poll: where it is, who we are there, and how much it allows."""

    name: str
    url: str
    key: Secret
    key_file: Path | None
    """Where the key was read; None where it was not looked for and not named."""
    requests_per_minute: float = 60.0
    in_flight: int = 2
    paused: bool = False
    allow_http: bool = False


@dataclass(frozen=True, slots=True)
class Every:
    """The shortest time between two rounds of each kind, in seconds."""

    statuses: float = 60.0
    refills: float = 300.0
    balance: float = 300.0
    catalog: float = 3600.0


@dataclass(frozen=True, slots=True)
class Settings:
    """All that was configured. `database_url` may hold a password: print `hidden(database_url)`."""

    database_url: str = field(repr=False)
    """`sqlite:////absolute/path` or `postgresql+psycopg://…`."""
    panels: tuple[PanelSettings, ...] = ()
    every: Every = Every()
    source: Path | None = None
    """The file all this was read from."""
    warnings: tuple[str, ...] = ()
    """What works, but should not stay so; sentences for the log."""
    keep: Keep = field(default_factory=Keep)
    listen: Address | None = None
    """Where `/healthz`, `/readyz` and `/metrics` are served; None: nowhere."""

    @property
    def secrets(self) -> tuple[str, ...]:
        """Return every text that must never be printed: for the redaction of logs and of replies."""
        keys = {panel.key.reveal() for panel in self.panels if panel.key != UNREAD}
        return tuple(sorted(keys | _passwords(self.database_url)))


UNREAD: Final = Secret("")
"""Stands for the key in a command that needs no panel, so that it runs for people who may not read the key."""


def hidden(database_url: str) -> str:
    """Return `database_url` with its password, and options that look like secrets, replaced."""
    scheme, mark, rest = database_url.partition("://")
    # The last "@" ends the password even where somebody forgot to encode one inside it.
    account, at, place = rest.rpartition("@")
    if at:
        user, colon, _ = account.partition(":")
        rest = f"{user}{colon}{HIDDEN if colon else ''}@{place}"
    return scheme + mark + _SECRET_OPTION.sub(rf"\g<1>{HIDDEN}", rest)


def shown(settings: Settings) -> dict[str, object]:
    """Return the effective configuration in the file's own words and units, without any secret."""
    every = settings.every
    return {
        "source": None if settings.source is None else str(settings.source),
        "database_url": hidden(settings.database_url),
        **({} if settings.listen is None else {"listen": str(settings.listen)}),
        "panels": {
            panel.name: {
                "url": panel.url,
                "key": HIDDEN,
                "key_file": None if panel.key_file is None else str(panel.key_file),
                "requests_per_minute": panel.requests_per_minute,
                "in_flight": panel.in_flight,
                "paused": panel.paused,
                "allow_http": panel.allow_http,
            }
            for panel in settings.panels
        },
        "every": {
            "statuses": spelled(every.statuses),
            "refills": spelled(every.refills),
            "balance": spelled(every.balance),
            "catalog": spelled(every.catalog),
        },
        "keep": {
            name: "forever" if seconds is None else spelled(seconds)
            for name, seconds in settings.keep._asdict().items()
        },
        "warnings": list(settings.warnings),
    }


def _passwords(database_url: str) -> set[str]:
    """Return the passwords in a database's URL, as written and decoded: drivers print either."""
    if database_url.startswith("sqlite:"):
        return set()
    parts = urlsplit(database_url)
    found = {parts.password or "", unquote(parts.password or "")}
    found |= {value for name, value in parse_qsl(parts.query) if "pass" in name.lower()}
    return found - {""}
