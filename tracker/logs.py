"""Logs: dotted event names with measured fields, as JSON lines or, on a terminal, for people.

    logs.configure(sys.stderr, secrets=settings.secrets)
    log = logs.get(panel="senderin")
    log.info("round.done", asked=300, answered=300, seconds=0.31)

One chain serves our own lines and those of the libraries. Whatever a line carries, exceptions included, becomes
plain JSON values first, then loses every secret; only what comes out of that is rendered. A line that cannot be
written (disk full, pipe closed) is dropped: a flight recorder must not stop because its voice does.
"""

import logging
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from datetime import UTC, date, datetime
from decimal import Decimal
from json import JSONEncoder, dumps
from math import isfinite
from threading import Lock
from typing import Any, Final, Literal, TextIO, TypeAlias, cast
from urllib.parse import quote, quote_plus

import structlog
from structlog.typing import FilteringBoundLogger, Processor

Level: TypeAlias = Literal["debug", "info", "warning", "error", "critical"]

HIDDEN: Final = "[hidden]"
MIN_SECRET: Final = 4
"""Shorter texts are not looked for: they stand in every second word, and hiding them would hide everything."""
MAX_TEXT: Final = 4000
"""Characters of one value; cut only after the secrets are out, so that no half of one is left."""
MAX_DEPTH: Final = 5
MAX_CAUSES: Final = 4
MAX_FRAMES: Final = 8
"""The innermost frames say where it broke; the outer ones are the same for every fault."""

_UNSAFE: Final = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
"""Controls, escapes, bidi overrides, invisible marks, halves of a pair. Joiners stay: emoji are made of them."""
_ESCAPES: Final = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
_PLAIN: Final = frozenset({int, bool, type(None)})
_encode: Final = JSONEncoder(ensure_ascii=False, allow_nan=False).encode
_PRIORITIES: Final = {"critical": 2, "error": 3, "warning": 4, "info": 6, "debug": 7}
"""Our levels -> the journal's, as in syslog."""
_LIBRARIES: Final = ("httpx", "httpcore", "apscheduler", "alembic", "sqlalchemy")


def configure(stream: TextIO, *, secrets: Iterable[str], json: bool | None = None, level: Level = "info") -> None:
    """Send all logs of this process to `stream`, without any of `secrets`; may be called again at a reload.

    `json` says how; None means JSON lines unless `stream` is a terminal. Where it is the journal of systemd, each
    line begins with its priority, which the journal takes off. Libraries are heard from WARNING on.
    """
    needles = spellings(secrets)
    terminal = stream.isatty()
    as_json = not terminal if json is None else json
    json_line_of = _journal_line if _is_journal(stream) else _json_line
    render: Processor = (
        json_line_of if as_json else _console_line(colors=terminal and not os.environ.get("NO_COLOR"))
    )
    structlog.configure(
        processors=[_stamp, _explain if as_json else _explain_at_length, _Redact(needles), render],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=_Writer(stream),
        # Not cached: it costs 1.5 µs a line, and a reload reaches the loggers that modules already hold.
        cache_logger_on_first_use=False,
    )
    _listen_to_libraries()


def get(**fields: object) -> FilteringBoundLogger:
    """Return a logger whose every line carries `fields`."""
    return cast("FilteringBoundLogger", structlog.get_logger(**fields))


def visible(text: str) -> str:
    """Return `text` with control characters, escapes and bidi overrides spelled out, safe for a terminal."""
    if text.isprintable():
        return text
    return _UNSAFE.sub(lambda match: _ESCAPES.get(match[0]) or ascii(match[0])[1:-1], text)


def json_line(value: object) -> str:
    """Return `value`, made of what JSON knows, as one line of JSON that is safe for a terminal and still exact.

    Text stays readable, for panels speak many languages. What `visible` would spell out is escaped, which is right
    wherever it stands: such characters only occur inside JSON's strings.
    """
    line = _encode(value)
    return line if line.isprintable() else _UNSAFE.sub(_json_escape, line)


def _json_escape(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}" if match[0] <= "\uffff" else dumps(match[0])[1:-1]


def spellings(secrets: Iterable[str]) -> tuple[str, ...]:
    """Return the spellings of `secrets` that URLs, forms, reprs and JSON give them, the longest first."""
    found: set[str] = set()
    for secret in secrets:
        if len(secret) >= MIN_SECRET:
            found |= {secret, quote(secret), quote(secret, safe=""), quote_plus(secret)}
    for _ in range(2):  # an exception often quotes the repr of what already was one
        found |= {escaped[1:-1] for text in found for escaped in (repr(text), dumps(text))}
        found |= {text.replace("'", "\\'") for text in found}
    return tuple(sorted(found, key=lambda needle: (-len(needle), needle)))


def _stamp(_logger: object, level: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    at = datetime.now(UTC).isoformat(timespec="milliseconds")[:-6] + "Z"
    event["at"], event["level"] = at, level  # ours, whatever a caller's field is called
    return {"at": at, "level": level, "event": event.pop("event", ""), **event}


def _explain(_logger: object, _level: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace `exc_info` by `exception`, one short text for each cause, and `trace`, the innermost frames."""
    if (fault := _exception(event)) is not None:
        event["exception"], event["trace"] = _causes(fault), _frames(fault)
    return event


def _explain_at_length(_logger: object, _level: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    if (fault := _exception(event)) is not None:
        event["exception"] = "".join(traceback.format_exception(fault))
    return event


def _exception(event: MutableMapping[str, Any]) -> BaseException | None:
    given = event.pop("exc_info", None)
    if isinstance(given, BaseException) or not given:
        return given or None
    current = given[1] if isinstance(given, tuple) else sys.exception()
    return current if isinstance(current, BaseException) else None


def _causes(fault: BaseException) -> list[str]:
    texts: list[str] = []
    cause: BaseException | None = fault
    while cause is not None and len(texts) < MAX_CAUSES:
        texts.append(_text(cause))
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return texts


def _frames(fault: BaseException) -> list[str]:
    frames = [
        f"{frame.f_code.co_filename.rpartition('site-packages/')[2]}:{line} {frame.f_code.co_name}"
        for frame, line in traceback.walk_tb(fault.__traceback__)
    ]
    return frames[-MAX_FRAMES:]


class _Redact:
    """Turn every value into plain JSON values without secrets: the last step before rendering."""

    def __init__(self, needles: tuple[str, ...]) -> None:
        self._needles = needles

    def __call__(self, _logger: object, _level: str, event: MutableMapping[str, Any]) -> dict[str, Any]:
        plain = self._plain
        return {name: value if type(value) in _PLAIN else plain(value, MAX_DEPTH) for name, value in event.items()}

    def _plain(self, value: object, depth: int) -> object:
        if isinstance(value, str):
            return self._clean(value)
        if value is None or isinstance(value, bool | int):
            return value
        if isinstance(value, float):
            return value if isfinite(value) else str(value)  # JSON knows neither nan nor infinity
        if isinstance(value, Mapping | list | tuple | set | frozenset) and depth:
            if isinstance(value, Mapping):
                return {self._clean(str(name)): self._plain(each, depth - 1) for name, each in value.items()}
            return [self._plain(each, depth - 1) for each in value]
        return self._clean(_text(value))

    def _clean(self, text: str) -> str:
        for needle in self._needles:
            if needle in text:
                text = text.replace(needle, HIDDEN)
        return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}… ({len(text)} characters)"


def _text(value: object) -> str:
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, bytes | bytearray):
        return value.decode("utf-8", "backslashreplace")
    if isinstance(value, BaseException):
        return f"{type(value).__name__}: {_said(value)}"
    return _said(value)


def _said(value: object) -> str:
    try:
        return str(value)
    except Exception as error:  # noqa: BLE001  # whatever a foreign __str__ raises must not cost the line
        return f"({type(error).__name__} while printing a {type(value).__name__})"


def _json_line(_logger: object, _level: str, event: MutableMapping[str, Any]) -> str:
    return json_line(event)


def _journal_line(_logger: object, _level: str, event: MutableMapping[str, Any]) -> str:
    return f"<{_PRIORITIES.get(event['level'], 6)}>{json_line(event)}"


def _is_journal(stream: TextIO) -> bool:
    """Whether `stream` is the one that systemd connected to the journal, see systemd.exec(5)."""
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


def _console_line(*, colors: bool) -> Processor:
    renderer = structlog.dev.ConsoleRenderer(
        colors=colors,
        pad_event_to=24,
        sort_keys=False,
        timestamp_key="at",
        exception_formatter=structlog.dev.plain_traceback,
    )

    def render(logger: object, level: str, event: MutableMapping[str, Any]) -> str:
        lines = str(event.pop("exception", "")).splitlines()
        shown = {name: visible(value) if isinstance(value, str) else value for name, value in event.items()}
        shown["at"] = datetime.fromisoformat(event["at"]).astimezone().strftime("%m-%d %H:%M:%S")
        return "\n".join([str(renderer(logger, level, shown)), *map(visible, lines)])

    return render


class _Writer:
    """Where lines end; also its own factory, for there is one stream."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = Lock()

    def __call__(self, *_args: object) -> "_Writer":
        return self

    def msg(self, line: str) -> None:
        with self._lock:
            try:
                self._stream.write(line + "\n")
                self._stream.flush()
            except UnicodeEncodeError:
                # A stream that is not UTF-8 (LANG=C under some supervisors) gets escapes instead of nothing.
                self._stream.write(line.encode("ascii", "backslashreplace").decode("ascii") + "\n")
                self._stream.flush()
            except (OSError, ValueError):
                return

    debug = info = warning = error = critical = msg


class _Listener(logging.Handler):
    """Passes a library's record on: its logger is the event's name, its text a field."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = record.getMessage()
        except (TypeError, ValueError, KeyError):
            text = str(record.msg)
        say: Callable[..., object] = get().error if record.levelno >= logging.ERROR else get().warning
        say(record.name, message=text, exc_info=record.exc_info)


def _listen_to_libraries() -> None:
    root = logging.getLogger()
    for handler in [each for each in root.handlers if isinstance(each, _Listener)]:
        root.removeHandler(handler)
    root.addHandler(_Listener())
    root.setLevel(logging.WARNING)
    for name in _LIBRARIES:
        # httpx writes whole URLs at INFO; a level of its own would let that through.
        logging.getLogger(name).setLevel(logging.WARNING)
