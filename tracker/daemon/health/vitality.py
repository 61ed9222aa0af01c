"""Is the work going on? The last success of each kind of work, judged from what the database remembers.

`examine` is pure: `tracker health` uses it beside or without a daemon, and the daemon serves the same at
`/healthz` with its own memory on top, which also knows the rounds that found nothing to do.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import Final, Literal, NamedTuple, TypeAlias, get_args

from tracker.daemon.status import Failure, Figures
from tracker.errors import KeyRefused
from tracker.model import KINDS, Kind
from tracker.pace import sweep
from tracker.settings import Every, spelled
from tracker.store.reading.panel_glance import AHEAD, PanelGlance
from tracker.store.reading.vitals import KindVitals, PanelVitals

PATIENCE: Final = 3
"""Intervals without a success after which a kind of work counts as stopped: one bad hour of a panel is common. All
rounds of a panel share a thread, and one of statuses may take its whole interval: that is allowed on top."""

ALLOWED: Final = 60.0
"""Seconds that everything may take on top: nobody is woken for less."""

SLOW: Final = 10
"""A sweep that takes so many intervals (and ten minutes) is slow; health says what would shorten it."""

LEAVES_NO_ROW: Final[Collection[Kind]] = ("statuses", "refills")
"""Kinds that may find nothing to do: such a round succeeds without a trace in the database."""

Level: TypeAlias = Literal["stopped", "attention", "note"]
"""Work does not go on · a person is needed · good to know."""
LEVELS: Final[tuple[Level, ...]] = get_args(Level)


class Configured(NamedTuple):
    """What the configuration says of a panel."""

    name: str
    per_minute: float | None = 60.0
    """None: no limit."""
    paused: bool = False
    every: Every = Every()


class Finding(NamedTuple):
    """Something that is not as it should be, and what to do."""

    level: Level
    panel: str | None
    what: str
    remedy: str


@dataclass(frozen=True, slots=True)
class KindHealth:
    """The newest rounds of one kind of work."""

    last_success_at: datetime | None = None
    last_error_at: datetime | None = None
    last_error: str | None = None
    """Also after it was overcome."""


@dataclass(frozen=True, slots=True)
class PanelHealth:
    """How the work at one panel stands."""

    panel: str
    polled_by: str | None
    """Who holds its lease; None where nobody does."""
    paused: bool
    open: int
    """Orders that are still asked about."""
    due: int
    late: int
    """Orders to which promise P7 is broken: unanswered for twice the larger of their pace and a sweep."""
    lag_seconds: float
    """How long the order is due that waits longest; 0 where none is."""
    sweep_seconds: float
    """What asking about every open order once takes, or would take, at the present budget."""
    sweep_hint: str | None
    """What would shorten a slow sweep."""
    unknown_intents: int
    key_refused: bool
    kinds: Mapping[Kind, KindHealth]


@dataclass(frozen=True, slots=True)
class Health:
    """The whole answer."""

    at: datetime
    findings: tuple[Finding, ...]
    """The worst first."""
    panels: tuple[PanelHealth, ...] = ()

    @property
    def working(self) -> bool:
        """Whether the work goes on."""
        return all(one.level != "stopped" for one in self.findings)

    @property
    def healthy(self) -> bool:
        """Whether it goes on and nobody is needed."""
        return all(one.level == "note" for one in self.findings)

    def as_json(self) -> dict[str, object]:
        """Return it as JSON values, but for moments."""
        panels = [asdict(one) for one in self.panels]
        findings = [one._asdict() for one in self.findings]
        told = {"healthy": self.healthy, "working": self.working, "at": self.at}
        return {**told, "findings": findings, "panels": panels}


def unreachable(error: str) -> Finding:
    """Return what there is to say of a database that does not answer, or cannot be used."""
    remedy = "`tracker check` looks closer; a daemon that waits for it goes on by itself as soon as it answers"
    return Finding("stopped", None, f"the database cannot be read: {error}", remedy)


def examine(
    vitals: Sequence[PanelVitals],
    configured: Sequence[Configured],
    now: datetime,
    memory: Mapping[str, Figures] | None = None,
    looked_at: datetime | None = None,
) -> Health:
    """Judge the work at `configured` panels; the others in `vitals` only get a note.

    `memory` is what a running daemon knows by itself, by panel; `looked_at` is when `vitals` were taken, if not
    now.
    """
    known = {one.seen.name: one for one in vitals}
    found: list[Finding] = []
    panels: list[PanelHealth] = []
    for one in sorted(configured, key=lambda panel: panel.name):
        remembered = (memory or {}).get(one.name) or Figures()
        panel = _panel(known.pop(one.name, None), one, looked_at or now, remembered, now + AHEAD)
        panels.append(panel)
        found += [] if one.paused else _judge(panel, one.every, now)
        found += _unknown(panel.panel, panel.unknown_intents)
    for name, rest in known.items():
        found += _unknown(name, rest.unknown)
        if rest.open:
            what = f"it is not configured, so nobody asks about its {rest.open:,} open orders"
            remedy = f"add [panels.{name}] to the configuration, or end it with `tracker untrack`"
            found.append(Finding("note", name, what, remedy))
    return Health(now, tuple(sorted(found, key=lambda one: LEVELS.index(one.level))), tuple(panels))


def _panel(
    vitals: PanelVitals | None, configured: Configured, at: datetime, memory: Figures, until: datetime
) -> PanelHealth:
    vitals = vitals or PanelVitals(PanelGlance(configured.name))
    if configured.paused:  # nobody promised anything
        vitals = vitals._replace(due=0, due_since=None, late=0)
    seconds = sweep(vitals.open, configured.per_minute, vitals.bulk_status)
    kinds = {
        kind: _kind(
            vitals.kinds.get(kind, KindVitals()), memory.succeeded.get(kind), memory.failed.get(kind), until
        )
        for kind in KINDS
    }
    return PanelHealth(
        panel=configured.name,
        polled_by=vitals.seen.holder if vitals.seen.polled else None,
        paused=configured.paused,
        open=vitals.open,
        due=vitals.due,
        late=vitals.late,
        lag_seconds=max((at - vitals.due_since).total_seconds(), 0.0) if vitals.due_since else 0.0,
        sweep_seconds=seconds,
        sweep_hint=_hint(seconds, vitals, configured),
        unknown_intents=vitals.unknown,
        key_refused=_key_refused(vitals, until),
        kinds=kinds,
    )


def _kind(told: KindVitals, succeeded: datetime | None, failed: Failure | None, until: datetime) -> KindHealth:
    """Put what the database and what a daemon remembers together: the newest counts that is not after `until`."""
    newest = max((at for at in (told.succeeded_at, succeeded) if at and at <= until), default=None)
    if failed is not None and failed.at <= until and (told.failed_at is None or told.failed_at < failed.at):
        return KindHealth(newest, failed.at, failed.error)
    return KindHealth(newest, told.failed_at, told.error)


def _key_refused(vitals: PanelVitals, until: datetime) -> bool:
    """Return whether the panel's newest word about the key was a no; a round that asked nothing proves nothing."""
    seen = vitals.seen
    if seen.fault_kind != KeyRefused.kind or seen.fault_at is None or seen.fault_at > until:
        return False
    answered = [one.succeeded_at for one in vitals.kinds.values() if one.succeeded_at is not None]
    return all(at < seen.fault_at for at in answered)


def _hint(seconds: float, vitals: PanelVitals, configured: Configured) -> str | None:
    """Say what would shorten the sweep, where it is slow."""
    wanted = max(SLOW * configured.every.statuses, 600.0)
    if configured.per_minute is None or (seconds <= wanted and not vitals.late):
        return None
    if vitals.bulk_status is False:
        return (
            "the panel answers one order a request: ask its owner for `orders=`, which is a hundred times faster"
        )
    if seconds <= wanted:
        return None
    more = ceil(configured.per_minute * seconds / wanted)
    return (
        f"requests_per_minute = {more} would make it {spelled(round(wanted))}, if the panel allows so many; "
        "or follow fewer orders"
    )


def _judge(panel: PanelHealth, every: Every, now: datetime) -> list[Finding]:
    """Say what keeps the work at a panel from going on."""
    name = panel.panel
    if panel.polled_by is None:
        return [Finding("stopped", name, "nobody polls it", "start `tracker run`, or look at why it ended")]
    if panel.key_refused:
        remedy = "put the right key into its key file; then reload or restart the daemon, or wait half an hour"
        return [Finding("stopped", name, "the panel refuses the key", remedy)]
    found = []
    for kind in KINDS:
        if (what := _stopped(kind, panel.kinds[kind], every, now)) is not None:
            remedy = f"see `tracker rounds --panel {name}`; `tracker check` tries the panel itself"
            found.append(Finding("stopped", name, what, remedy))
    if panel.late:
        lag, sweep_takes = spelled(round(panel.lag_seconds)), spelled(round(panel.sweep_seconds))
        what = f"{panel.late:,} orders are late, the first is due for {lag}; a sweep takes {sweep_takes}"
        remedy = panel.sweep_hint or f"see `tracker rounds --panel {name}` for what holds it up"
        found.append(Finding("stopped", name, what, remedy))
    elif panel.sweep_hint:
        what = f"a sweep of its {panel.open:,} open orders takes {spelled(round(panel.sweep_seconds))}"
        found.append(Finding("note", name, what, panel.sweep_hint))
    return found


def _stopped(kind: Kind, told: KindHealth, every: Every, now: datetime) -> str | None:
    """Say that a kind of work has stopped, or nothing."""
    failed, succeeded = told.last_error_at, told.last_success_at
    failing = failed is not None and (succeeded is None or succeeded < failed)
    if succeeded is None:
        return f"{kind} never succeeded: {told.last_error}" if failing else None
    allowed = PATIENCE * getattr(every, kind) + every.statuses + ALLOWED
    old = now - succeeded > timedelta(seconds=allowed)
    if not old or (kind in LEAVES_NO_ROW and not failing):
        return None
    why = f": {told.last_error}" if failing else ""
    return f"{kind} last succeeded {spelled(round((now - succeeded).total_seconds()))} ago{why}"


def _unknown(panel: str, count: int) -> list[Finding]:
    if not count:
        return []
    what = f"of {count:,} intents nobody knows what came" if count > 1 else "of 1 intent nobody knows what came"
    remedy = "find out at the panel, and say so: `tracker intents --state unknown`, then `tracker resolve INTENT`"
    return [Finding("attention", panel, what, remedy)]
