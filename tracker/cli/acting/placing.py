"""Placing one order from the command line: show it, ask, send it, tell what came of it."""

import sys
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import click

from tracker.actions import LISTS, Prepared, connected
from tracker.cli.acting.changing import confirm, failing, heeding, panel_of, ready, require_answer, telling
from tracker.cli.acting.journal import intent_row
from tracker.cli.acting.wishes import How
from tracker.cli.columns import Column
from tracker.cli.options import settings
from tracker.cli.quantities import money
from tracker.cli.render import facts, to_json
from tracker.errors import EXIT_OK
from tracker.logs import visible
from tracker.model import Intent

_SHOWN: Final = 60
"""Characters of a list of lines in the preview."""


class Order(NamedTuple):
    """What was typed; `more` are fields that only this panel has."""

    service: str
    fields: Mapping[str, str]
    more: Mapping[str, str]
    ref: str | None


def place(order: Order, how: How, *, panel: str | None, config: Path | None, as_json: bool) -> int:
    """Place an order and return the exit code. Raises as `Actions.send` does; with `as_json` the intent is out."""
    require_answer(how)
    found = settings(config, need_panels=True)
    one = panel_of(found, panel)
    database = ready(found, writing=not how.dry_run)
    stop = threading.Event()
    with connected(one, database, stop=stop) as actions:
        prepared = actions.prepare(order.service, order.fields, order.ref, check=not how.no_check, more=order.more)
        if how.dry_run:
            _show_dry(prepared, as_json=as_json)
            return EXIT_OK
        if not (how.yes and as_json):
            _show(prepared, err=True)
        confirm("Send this order?", how)
        with heeding(stop), failing(database, as_json=as_json):
            intent = actions.send(prepared, despite_unknown=how.despite_unknown)
    with telling(f"order {intent.panel}/{intent.order_id} was placed"):
        if as_json:
            click.echo(to_json(intent_row(intent)))
        else:
            click.echo(intent.order_id)
            click.echo(_bought(intent), err=True)
    return EXIT_OK


def _show_dry(prepared: Prepared, *, as_json: bool) -> None:
    if as_json:
        service = prepared.service and prepared.service._asdict()
        told = {"state": "not_sent", **prepared.wish._asdict(), "service": service, "notes": prepared.notes}
        click.echo(to_json(told))
    else:
        click.echo("Nothing was sent. This would be:")
        _show(prepared, err=False)


def _show(prepared: Prepared, *, err: bool) -> None:
    """Print where, what, the form, what it costs and what is left of the balance."""
    wish, service = prepared.wish, prepared.service
    before, price = wish.balance_before, wish.price
    left = None if before is None or price is None else money(before - price, wish.currency)
    known = [
        ("panel", wish.panel),
        ("service", f"{wish.service_id}  {service.name}" if service else f"{wish.service_id}, not in the catalog"),
        ("type", service and service.type),
        *((name, _short(name, text)) for name, text in wish.payload.items() if name != "service"),
        ("ref", wish.ref),
        ("price", "not known beforehand" if price is None else money(price, wish.currency)),
        ("balance", None if before is None else money(before, wish.currency)),
        ("then_left", left),
    ]
    told = [(Column(name), value) for name, value in known]
    facts(told, sys.stderr if err else sys.stdout, datetime.now(UTC))
    for note in prepared.notes:
        click.echo(f"  {visible(note)}", err=err)


def _short(name: str, text: str) -> str:
    """Return a field as it is shown; of a list, how long it is and how it begins."""
    lines = text.split("\n")
    if name not in LISTS or len(lines) == 1:
        return text
    begin = " | ".join(lines)
    return f"{len(lines)} lines: {begin if len(begin) <= _SHOWN else begin[:_SHOWN] + '…'}"


def _bought(intent: Intent) -> str:
    told = [f"Order {intent.panel}/{intent.order_id} is followed from now on."]
    if intent.price is not None:
        told.append(f"Price by the catalog: {money(intent.price, intent.currency)}.")
    if intent.balance_before is not None:
        after = intent.balance_after
        told.append(
            f"Balance before: {money(intent.balance_before, intent.currency)}"
            + ("." if after is None else f", after: {money(after, intent.currency)}.")
        )
    return " ".join(told)
