"""What one value of the configuration may be. Every check raises ValueError with a sentence and its remedy.

No sentence here repeats the value: people paste keys into the wrong line.
"""

import re
import stat
from errno import ENOENT
from ipaddress import ip_address
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import quote, unquote, urlsplit

DAY: Final = 86400.0
SHORTEST: Final = 1.0
"""Seconds between rounds; the request budget is what really holds us back."""
LONGEST: Final = 7 * DAY
"""Seconds between rounds: the grace time of settled orders, beyond which nothing would be seen twice."""
LONGEST_KEPT: Final = 36_500 * DAY
"""Beyond a century people mean forever. The shortest is a day: "90" alone would be a minute and a half."""
MAX_KEY_BYTES: Final = 4096
"""Real keys have 32 characters; the cap keeps a wrong path (a device, a log) from being read whole."""

_DURATION: Final = re.compile(
    r"(?:([0-9]{1,9})d)? ?(?:([0-9]{1,9})h)? ?(?:([0-9]{1,9})m)? ?(?:([0-9]{1,9}(?:\.[0-9]{1,6})?)s?)?"
)
_UNITS: Final = (DAY, 3600.0, 60.0, 1.0)
_PANEL_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SECRET_NAME: Final = re.compile(r"(?i)key|token|secret|pass")
_BARE_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{16,}")

_POSTGRES: Final = frozenset({"postgresql+psycopg", "postgresql", "postgres"})
_DATABASE_REMEDY: Final = (
    'write: database_url = "sqlite:///tracker.db" or '
    'database_url = "postgresql+psycopg://user:password@host/database"'
)
_LISTEN_REMEDY: Final = 'write: listen = "127.0.0.1:9470"'
_PANEL_URL_REMEDY: Final = 'write: url = "https://senderin.ru/api/v2"'


def seconds(value: object) -> float:
    """Return the seconds that a person means by `90s`, `1m`, `1h30m`, `2d`, or a plain number of seconds."""
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e12:
        return float(value)
    match = _DURATION.fullmatch(value.strip().lower()) if isinstance(value, str) else None
    if match is None or not any(match.groups()):
        raise ValueError("must be a duration such as 90s, 5m, 1h30m or 2d")
    return sum(
        float(count) * unit for count, unit in zip(match.groups(), _UNITS, strict=True) if count is not None
    )


def spelled(duration: float) -> str:
    """Return `duration` (seconds) the way it is written in the file: the exact inverse of `seconds`."""
    rest, text = duration, ""
    for letter, unit in zip("dhm", _UNITS, strict=False):
        count, rest = divmod(rest, unit)
        text += f"{count:.0f}{letter}" if count else ""
    return text + f"{rest:.6f}".rstrip("0").rstrip(".") + "s" if rest or not text else text


def interval(value: object) -> float:
    """Return the seconds between two rounds."""
    duration = seconds(value)
    if not SHORTEST <= duration <= LONGEST:
        raise ValueError(f"must be from {spelled(SHORTEST)} to {spelled(LONGEST)}")
    return duration


def keeping(value: object) -> float | None:
    """Return the seconds for which something is kept; None for `forever`."""
    if isinstance(value, str) and value.strip().lower() == "forever":
        return None
    try:
        duration = seconds(value)
    except ValueError:
        raise ValueError('must be "forever", or a duration such as 90d') from None
    if not DAY <= duration <= LONGEST_KEPT:
        raise ValueError(f'must be "forever", or from {spelled(DAY)} to {spelled(LONGEST_KEPT)}')
    return duration


def is_panel_name(name: str) -> bool:
    """Return whether `name` can name a panel: people type it as `PANEL/ID`, and it names files."""
    return _PANEL_NAME.fullmatch(name) is not None


def panel_name(name: str) -> str:
    """Return `name`, the name of a panel."""
    if not is_panel_name(name):
        raise ValueError(
            "is not a panel's name: up to 64 letters (a-z), digits, '-', '_' and '.', a letter or digit first; "
            "write: [panels.senderin]"
        )
    return name


def panel_url(url: str, *, allow_http: bool) -> str:
    """Return `url`, an address the key may be sent to."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise ValueError(f"is not an address; {_PANEL_URL_REMEDY}") from None
    if parts.scheme not in {"http", "https"} or not host or not url.isprintable() or " " in url:
        raise ValueError(f"must be an http(s) address with a host; {_PANEL_URL_REMEDY}")
    if parts.username is not None or parts.password is not None:
        raise ValueError(f"must not hold a user or a password; {_PANEL_URL_REMEDY}")
    if any(_SECRET_NAME.search(option.partition("=")[0]) for option in parts.query.split("&")):
        raise ValueError(
            f"must not hold the key: put that alone into a file and name it by key_file; {_PANEL_URL_REMEDY}"
        )
    if parts.fragment:
        raise ValueError(f"must not hold a '#'; {_PANEL_URL_REMEDY}")
    if parts.scheme == "http" and not allow_http and not is_loopback(host):
        raise ValueError(
            "would send the key in the clear over plain http; write https:// or, if the way there is yours, "
            "allow_http = true"
        )
    return url


def is_loopback(host: str) -> bool:
    """Return whether `host` can only be this machine, judged without asking a name server."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


class Address(NamedTuple):
    """Where the daemon answers programs that watch it."""

    host: str
    """An IP address."""
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def address(text: str) -> Address:
    """Return the address that is meant by `127.0.0.1:9470`, `[::1]:9470` or `localhost:9470`."""
    host, _, port = text.rpartition(":")
    host = {"localhost": "127.0.0.1"}.get(host, host)
    try:
        found = ip_address(host[1:-1] if host.startswith("[") and host.endswith("]") else host)
    except ValueError:
        found = None
    if found is None or (found.version == 6) != host.startswith("["):
        raise ValueError(f"must be an IP address of this machine and a port; {_LISTEN_REMEDY}")
    if not (port.isascii() and port.isdigit() and 1 <= int(port) <= 65535):
        raise ValueError(f"must end with a port from 1 to 65535; {_LISTEN_REMEDY}")
    return Address(str(found), int(port))


def listen(text: str) -> str:
    """Return `text`, an address to listen at."""
    return str(address(text))


def listen_warning(found: Address) -> str | None:
    """Return a warning where others than this machine can read what is served."""
    if is_loopback(found.host):
        return None
    return (
        f"listen: {found} is open to every machine that reaches it, without a password: it tells balances and the "
        'names of panels; write: listen = "127.0.0.1:9470"'
    )


def database_url(text: str, folder: Path, home: str | None) -> str:
    """Return `text` as the store wants it: SQLite with an absolute path below `folder`, Postgres by psycopg."""
    scheme, mark, rest = text.partition("://")
    if scheme == "sqlite" and rest.startswith("/"):
        return _sqlite_url(rest[1:], folder, home)
    if not mark or scheme not in _POSTGRES:
        raise ValueError(f"must be the URL of an SQLite or a PostgreSQL database; {_DATABASE_REMEDY}")
    try:
        parts = urlsplit(text)
        _ = parts.port
        readable = text.isprintable() and not parts.fragment and not re.search("[ @]", parts.path + parts.query)
    except ValueError:
        readable = False
    if not readable:
        raise ValueError(
            "cannot be read: in a password, characters such as / @ : # ? % must be written as %2F %40 %3A %23 "
            f"%3F %25; {_DATABASE_REMEDY}"
        )
    return f"postgresql+psycopg://{rest}"


def _sqlite_url(path: str, folder: Path, home: str | None) -> str:
    path = unquote(path)
    if "?" in path:
        raise ValueError("must not hold options or a '?'; write: database_url = \"sqlite:///tracker.db\"")
    if not path or path == ":memory:" or not path.isprintable():
        raise ValueError('must name a file; write: database_url = "sqlite:///tracker.db"')
    return sqlite_at(located(path, folder, home))


def sqlite_at(path: Path) -> str:
    """Return the URL of the SQLite database in the file `path` (absolute)."""
    return "sqlite:///" + quote(str(path))


def located(path: str, folder: Path, home: str | None) -> Path:
    """Return `path` as seen from `folder`, with a leading `~/` meaning `home`."""
    if path.startswith("~/") and home:
        return Path(home, path[2:])
    return folder / path


def read_key(path: Path, written: str) -> tuple[str, str | None]:
    """Return the key in the file `path` and, where other users can read it too, a warning.

    `written` is how the configuration names the file: where no such file exists and it looks like a key itself,
    the error does not repeat it.
    """
    if not written.isprintable():
        raise ValueError('must be the path of a file; write: key_file = "/etc/tracker/senderin.key"')
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ValueError(f"{path} is not a file; name the file that holds the key")
        with path.open("rb") as file:
            content = file.read(MAX_KEY_BYTES + 1)
    except OSError as error:
        if not isinstance(error, PermissionError) and _BARE_TOKEN.fullmatch(written):
            raise ValueError(
                "must be the path of a file that holds the key, not the key; "
                'write: key_file = "/etc/tracker/senderin.key"'
            ) from None
        mend = f"let the user that runs tracker read it; look with: ls -ld {path.parent} {path}"
        if error.errno == ENOENT:  # of one that is there the command would throw away the key
            mend = _key_remedy(path)
        raise ValueError(f"{path} cannot be read ({error.strerror}); {mend}") from None
    return _key_in(content, path), _key_warning(status.st_mode, path)


def _key_in(content: bytes, path: Path) -> str:
    key = content.strip()
    if not key:
        fault = "is empty"
    elif len(content) > MAX_KEY_BYTES:
        fault = f"is larger than {MAX_KEY_BYTES} bytes"
    elif len(key.split()) > 1:
        fault = "holds more than one word or line"
    elif not key.isascii() or not key.decode("ascii").isprintable():
        fault = "holds characters that no key has (only printable ASCII)"
    else:
        return key.decode("ascii")
    raise ValueError(f"{path} {fault}; the key must stand alone in it: {_key_remedy(path)}")


def _key_warning(mode: int, path: Path) -> str | None:
    if not mode & stat.S_IROTH:
        return None
    return f"every user of this machine can read the key in {path}; run: chmod 600 {path}"


def _key_remedy(path: Path) -> str:
    return f"run: install -m 600 /dev/null {path}, then write the key into it as the user that runs tracker"
