"""`tracker poll`: ask once and end, for cron and for trying out."""

import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import click

from tracker.cli.options import (
    config_option,
    find_order,
    format_options,
    open_database,
    panel_option,
    require_panel,
    settings,
    show_rows,
)
from tracker.cli.render import Column, Format
from tracker.daemon.post import LEASE_SECONDS, RENEWALS, Post, connections, utc_now
from tracker.daemon.service import holder_name
from tracker.errors import EXIT_OK, EXIT_PARTLY, KeyRefused, PanelFault, TrackerError, UsageFault
from tracker.model import KINDS, Kind
from tracker.rounds.desk import Report
from tracker.settings import Every, PanelSettings, Settings
from tracker.store.database import Database
from tracker.store.leases import Held, Lease

COLUMNS: Final = (
    Column("panel"),
    Column("kind"),
    Column("requests", right=True, rank=2),
    Column("asked", right=True, rank=3),
    Column("answered", right=True),
    Column("changed", right=True),
    Column("anomalies", right=True, rank=4),
    Column("outcome"),
    Column("error", fold=True, rank=1),
)


@click.command()
@click.argument("what", nargs=-1, metavar="[statuses|refills|catalog|balance|all | ORDER...]")
@panel_option
@click.option("--all", "force", is_flag=True, help="Also about what is not due.")
@format_options
@config_option
def poll(what: tuple[str, ...], panel: str | None, format_: Format, config: Path | None, *, force: bool) -> int:
    """Ask the panels about what is due now (or about some orders), write it down, and end.

    Where a daemon polls a panel already, its orders are made due for it instead.
    """
    found = settings(config, need_panels=True)
    kinds = _kinds(what)
    database = open_database(found.database_url, create=True)
    database.upgrade()
    asked = _orders_by_panel(database, what, panel) if kinds is None else {}
    if kinds is None and not asked:
        return EXIT_OK  # every order that was named is closed, and that was said
    stop, signals = _heed_signals()
    rows: list[dict[str, object]] = []
    faults: list[PanelFault | None] = []
    left = False
    for one in _panels(found, panel, asked):
        with _leased(database, one, found.every, stop) as post:
            if isinstance(post, Held):
                _leave_to(post, database, one.name, asked.get(one.name), kinds)
                left = True
                continue
            order_ids = asked.get(one.name, ())
            for kind, report in _rounds(post, database, kinds, order_ids, force=force):
                rows.append(_row(one.name, kind, report))
                faults.append(report.fault)
    if rows or not left:
        show_rows(rows, COLUMNS, format_, "Nothing was due.")
    return 128 + signals[0] if signals else _exit_code(faults)


def _heed_signals() -> tuple[threading.Event, list[int]]:
    """Return what is set on SIGTERM and Ctrl-C, and the list in which their numbers arrive."""
    stop, numbers = threading.Event(), list[int]()

    def on_signal(number: int, _frame: object) -> None:
        numbers.append(number)
        stop.set()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    return stop, numbers


def _kinds(what: Sequence[str]) -> tuple[Kind, ...] | None:
    """Return the kinds of rounds that were named, or None where orders were."""
    if not what or "all" in what:
        return KINDS
    named = tuple(kind for kind in KINDS if kind in what)
    if named and len(named) < len(what):
        raise UsageFault(f"Name kinds of rounds ({', '.join(KINDS)}, all) or orders, not both.")
    return named or None


def _orders_by_panel(database: Database, names: Sequence[str], panel: str | None) -> dict[str, list[str]]:
    """Return the ids of the open orders that were named, by panel; say which are closed."""
    asked: dict[str, list[str]] = {}
    for name in names:
        row = find_order(database, name, panel)
        if row["closed_at"] is not None:
            click.echo(
                f"{row['panel']}/{row['order_id']} is {row['state']} and closed: it is not asked about any more. "
                "`tracker track` opens it again, and so does a new refill.",
                err=True,
            )
            continue
        asked.setdefault(row["panel"], []).append(row["order_id"])
    return asked


def _panels(found: Settings, panel: str | None, asked: Mapping[str, object]) -> list[PanelSettings]:
    known = {one.name: one for one in found.panels}
    for name in asked or ([panel] if panel else []):
        require_panel(found, name)
    if asked:
        return [known[name] for name in asked]
    return [known[panel]] if panel else [one for one in found.panels if not one.paused]


@contextmanager
def _leased(
    database: Database, panel: PanelSettings, every: Every, stop: threading.Event
) -> Iterator[Post | Held]:
    """Hold the lease of `panel` for the time of the block, renewed; or say who holds it."""
    lease = database.acquire(panel.name, holder_name(), LEASE_SECONDS)
    if isinstance(lease, Held):
        yield lease
        return
    done = threading.Event()
    keeper = threading.Thread(target=_renew, args=(database, lease, done), daemon=True)
    keeper.start()
    try:
        with connections(stop) as connect:
            post = Post(panel, every, database, lease, connect=connect, stop=stop)
            yield post
            post.client.close()
    finally:
        done.set()
        keeper.join()
        database.release(lease)


def _renew(database: Database, lease: Lease, done: threading.Event) -> None:
    while not done.wait(LEASE_SECONDS / RENEWALS):
        with suppress(TrackerError):  # the next write says what is wrong
            database.renew(lease, LEASE_SECONDS)


def _leave_to(
    held: Held, database: Database, panel: str, order_ids: Sequence[str] | None, kinds: Sequence[Kind] | None
) -> None:
    said = f"Panel {panel} is polled by {held.holder}."
    if order_ids is None and "statuses" not in (kinds or ()):
        click.echo(f"{said} It does this by itself; nothing was asked.", err=True)
        return
    due = database.make_due(panel, order_ids)
    click.echo(
        f"{said} {due} more of its orders {'is' if due == 1 else 'are'} due now; it asks about them.", err=True
    )


def _is_due(database: Database, post: Post, kind: Kind) -> bool:
    """Whether a kind that has no due times in the database (balance, catalog) is due by its interval."""
    if kind in {"statuses", "refills"}:
        return True
    now = utc_now()
    last = database.history.last_success(post.name, kind, now)
    return last is None or (now - last).total_seconds() >= post.seconds(kind)


def _rounds(
    post: Post, database: Database, kinds: Sequence[Kind] | None, order_ids: Sequence[str], *, force: bool
) -> Iterator[tuple[Kind, Report]]:
    if kinds is None:
        yield "statuses", post.tick_orders(order_ids)
        return
    for kind in kinds:
        if not force and not _is_due(database, post, kind):
            continue
        report = post.tick(kind, force=force)
        if report is not None and not report.idle:
            yield kind, report
            if isinstance(report.fault, KeyRefused):
                return  # also with `force`: some panels ban a host after five tries


def _row(panel: str, kind: Kind, report: Report) -> dict[str, object]:
    return {
        "panel": panel,
        "kind": kind,
        "requests": report.requests,
        "asked": report.asked,
        "answered": report.answered,
        "changed": report.changed,
        "anomalies": report.anomalies,
        "outcome": "ok" if report.fault is None else report.fault.kind,
        "error": None if report.fault is None else str(report.fault),
    }


def _exit_code(faults: Sequence[PanelFault | None]) -> int:
    """0 where all went well, 3 where some did, else the code of the first fault."""
    failed = [fault for fault in faults if fault is not None]
    if not failed:
        return EXIT_OK
    return failed[0].exit_code if len(failed) == len(faults) else EXIT_PARTLY
