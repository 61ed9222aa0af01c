"""What a check says."""

from collections.abc import Iterable
from typing import Final, Literal, NamedTuple, TypeAlias

from tracker.errors import EXIT_FAILED, EXIT_OK
from tracker.settings import spelled

HOUR: Final = 3600.0
DAY: Final = 24 * HOUR

_UNITS: Final = ("bytes", "KiB", "MiB", "GiB", "TiB")

Result: TypeAlias = Literal["ok", "warning", "failed", "not_run"]


class Finding(NamedTuple):
    """What one check found."""

    check: str
    """Its name, of a few words: the same in every version, for programs look for it."""
    result: Result
    said: str
    """What was found; of one that did not run, why."""
    remedy: str | None = None
    """A command to type or a line to write; never None where something failed."""
    panel: str | None = None
    """None for what concerns all panels."""
    exit_code: int = EXIT_OK


def ok(check: str, said: str) -> Finding:
    """Return that all is well."""
    return Finding(check, "ok", said)


def warning(check: str, said: str, remedy: str) -> Finding:
    """Return what works, but should not stay so."""
    return Finding(check, "warning", said, remedy)


def failed(check: str, said: str, remedy: str, exit_code: int = EXIT_FAILED) -> Finding:
    """Return what keeps tracker from working."""
    return Finding(check, "failed", said, remedy, exit_code=exit_code)


def not_run(check: str, why: str) -> Finding:
    """Return that nothing is known."""
    return Finding(check, "not_run", why)


def exit_code(findings: Iterable[Finding]) -> int:
    """Return the code of the first that failed, which is what the later ones follow from; 0 where none did."""
    return next((one.exit_code for one in findings if one.result == "failed"), EXIT_OK)


def roughly(seconds: float) -> str:
    """Return a span as a sentence says it: `45s`, `3h12m`, `9 days`."""
    if seconds >= 2 * DAY:
        return f"{seconds / DAY:.0f} days"
    unit = 60 if seconds >= HOUR else 1
    return spelled(float(round(seconds / unit) * unit))


def sized(count: float) -> str:
    """Return a number of bytes as people read it."""
    power = min(int(max(count, 1)).bit_length() // 10, len(_UNITS) - 1)
    amount = count / 1024**power
    return f"{amount:.1f} {_UNITS[power]}" if power and amount < 10 else f"{amount:.0f} {_UNITS[power]}"
