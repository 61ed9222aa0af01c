"""`tracker intents` and `tracker resolve`: what was sent to change something, and a person's word about it."""

import sys
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from tracker.cli.acting.evidence import conclusion
from tracker.cli.acting.journal import INTENTS, in_words, intent_row, short
from tracker.cli.columns import Column
from tracker.cli.following.given import given, id_of
from tracker.cli.options import Asked, asking, config_option, database
from tracker.cli.out import show_facts, show_json, show_rows
from tracker.cli.quantities import money
from tracker.errors import EXIT_FAILED, EXIT_OK, TrackerError, UsageFault
from tracker.model import INTENT_STATES, Intent

if TYPE_CHECKING:
    from tracker.store.database import Database
    from tracker.store.journal.evidence import Evidence, Snapshot

_APPEARED: Final = (
    Column("order_id", "order"),
    Column("service_id", "service"),
    Column("quantity", right=True),
    Column("charge", right=True),
    Column("state", state=True),
    Column("tracked_at", "tracked", rank=1),
    Column("link", rank=2),
)


@click.command()
@click.option(
    "--state", "states", type=click.Choice(INTENT_STATES), multiple=True, help="Only these; may be given again."
)
@asking(*INTENTS)
def intents(asked: Asked, *, states: Sequence[str]) -> None:
    """List what was sent to add, refill and cancel, newest first, and what came of it.

    confirmed: the panel said yes. rejected: it said no. unsent: it never arrived. unknown: it may have been done,
    so find out and tell `tracker resolve`. resolved: somebody did.
    """
    how = asked.how(INTENTS)
    opened = database(asked.config)
    with suppress(TrackerError):  # who may only read sees it as it stands
        opened.intents.recover()
    rows = [intent_row(intent) for intent in opened.intents.list(asked.panel, states, **asked.span, **how)]
    if asked.format_ == "table":
        rows = [{**row, "uuid": short(str(row["uuid"]))} for row in rows]
    what = f" {' or '.join(states)}" if states else ""
    sent = f" that was sent{asked.period}" if asked.period else ""
    asked.show(rows, INTENTS, f"No{what} intent{asked.where}{sent} is known.")


@click.command()
@click.argument("name", metavar="INTENT")
@click.option("--order-id", metavar="ID", help="It happened: this is the order that it placed.")
@click.option("--placed", is_flag=True, help="It happened: the panel took the refill or the cancel.")
@click.option("--refill-id", metavar="ID", help="It happened, and this is the refill, to be followed.")
@click.option("--not-placed", is_flag=True, help="It did not happen: the same may be sent again.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.option("--json", "as_json", is_flag=True, help="Print the intent as JSON, and the evidence with it.")
@config_option
def resolve(
    name: str,
    *,
    order_id: str | None,
    placed: bool,
    refill_id: str | None,
    not_placed: bool,
    yes: bool,
    as_json: bool,
    config: Path | None,
) -> int:
    """Say what became of an INTENT whose outcome is unknown; without a decision, show what speaks for which.

    INTENT is the beginning of its uuid, as `tracker intents` shows it.
    """
    for one, option in ((order_id, "--order-id"), (refill_id, "--refill-id")):
        given(id_of, one, f"{option} ")
    opened = database(config)
    intent = opened.intents.find(name)
    if not (order_id or placed or refill_id or not_placed):
        with suppress(TrackerError):  # who may only read sees it as it stands
            opened.intents.recover()
        _show(opened, opened.intents.find(intent.uuid), as_json=as_json)
        return EXIT_OK
    happened_as = _decided(intent, order_id, refill_id, placed=placed, not_placed=not_placed)
    if not (yes or not sys.stdin.isatty() or _confirmed(intent, happened_as, refill_id)):
        click.echo("Nothing was changed.", err=True)
        return EXIT_FAILED
    resolved = opened.intents.resolve(intent.uuid, happened_as, refill_id=refill_id)
    if as_json:
        show_json(intent_row(resolved))
    else:
        click.echo(_resolved(resolved))
    return EXIT_OK


def _decided(
    intent: Intent, order_id: str | None, refill_id: str | None, *, placed: bool, not_placed: bool
) -> str | None:
    """Return as which order it happened, None where it did not. Raises `UsageFault` for what does not fit."""
    happened = bool(order_id or refill_id or placed)
    if happened and not_placed:
        raise UsageFault("Either it happened or it did not: --not-placed stands alone.")
    if not_placed:
        return None
    if intent.action == "add":
        if placed or refill_id or not order_id:
            raise UsageFault("This intent is an order: say which one it became with --order-id ID.")
        return order_id
    if refill_id and intent.action != "refill":
        raise UsageFault(f"--refill-id belongs to a refill; this intent is a {intent.action}: say --placed.")
    return order_id or intent.order_id


def _confirmed(intent: Intent, happened_as: str | None, refill_id: str | None) -> bool:
    """Show what is about to be written and ask whether it is true."""
    click.echo(_title(intent), err=True)
    if happened_as is None:
        return click.confirm("Is it certain that it did not happen, and may be sent again?", err=True)
    made = f" as refill {refill_id}" if refill_id else f" as order {happened_as}" if intent.action == "add" else ""
    return click.confirm(f"Is it certain that it happened{made}?", err=True)


def _resolved(intent: Intent) -> str:
    told = f"Intent {short(intent.uuid)} is resolved: {intent.resolution}."
    if intent.action == "add" and intent.order_id is not None:
        return f"{told} Order {intent.panel}/{intent.order_id} is followed from now on."
    if intent.refill_id is not None:
        return f"{told} Refill {intent.refill_id} is followed from now on."
    return told


def _show(opened: "Database", intent: Intent, *, as_json: bool) -> None:
    """Print an intent, and for an unknown one what speaks for which decision, and what to type."""
    evidence = opened.intents.evidence(intent)
    unknown = intent.state == "unknown"
    suggests = conclusion(intent, evidence) if unknown else None
    if as_json:
        show_json({**intent_row(intent), "evidence": {**_plain(evidence), "conclusion": suggests}})
        return
    click.echo(f"Intent {intent.uuid}")
    known = [*_sent(intent), *_balances(intent, evidence), ("conclusion", suggests)]
    show_facts([(Column(name, state=name == "state"), value) for name, value in known])
    if not unknown:
        waiting = "It is on its way: wait for its end." if intent.state == "sending" else "Nothing is left to say."
        click.echo(f"It is {intent.state}. {waiting}")
        return
    click.echo()
    if intent.action == "add":
        none = f"No order of panel {intent.panel} has appeared here since then that no intent placed."
        click.echo("Orders followed since then that no intent placed:" if evidence.orders else none)
        if evidence.orders:
            show_rows(evidence.orders, _APPEARED, "table", none)
        click.echo()
    _what_to_type(intent)


def _title(intent: Intent) -> str:
    from tracker.logs import visible  # noqa: PLC0415  # takes long to import

    return f"Intent {intent.uuid}: {visible(in_words(intent))}"


def _sent(intent: Intent) -> list[tuple[str, object]]:
    form = {name: text for name, text in intent.payload.items() if name not in {"service", "order"}}
    return [
        ("asked", in_words(intent)),
        ("state", intent.state),
        ("sent_at", intent.sent_at),
        *form.items(),
        ("ref", intent.ref),
        ("came_back", intent.error or "nothing yet"),
        ("resolution", intent.resolution),
        ("order", intent.order_id),
        ("refill", intent.refill_id),
    ]


def _balances(intent: Intent, evidence: "Evidence") -> list[tuple[str, object]]:
    before, after = evidence.before, evidence.after
    told: list[tuple[str, object]] = []
    if intent.price is not None:
        told.append(("price", f"{money(intent.price, intent.currency)} by the catalog"))
    if intent.balance_before is not None:
        told.append(("balance_before", money(intent.balance_before, intent.currency)))
    elif before is not None:
        told.append(
            (
                "balance_before",
                _seen(before),
            )
        )
    if intent.balance_after is not None:
        told.append(("balance_after", money(intent.balance_after, intent.currency)))
    elif after is not None:
        told.append(("balance_after", _seen(after)))
    return told


def _seen(snapshot: "Snapshot") -> str:
    return f"{money(snapshot.balance, snapshot.currency)} at {snapshot.at.astimezone(UTC):%F %T} UTC"


def _plain(evidence: "Evidence") -> dict[str, Any]:
    known = evidence._asdict()
    return known | {name: known[name] and known[name]._asdict() for name in ("before", "after")}


def _what_to_type(intent: Intent) -> None:
    called = short(intent.uuid)
    happened = {"add": "--order-id ID", "refill": "--placed, or --refill-id ID", "cancel": "--placed"}[
        intent.action
    ]
    click.echo("Look at the panel, then type what is true:")
    click.echo(f"  it happened:        tracker resolve {called} {happened}")
    click.echo(f"  it did not happen:  tracker resolve {called} --not-placed")
