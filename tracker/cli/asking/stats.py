"""`tracker stats`: how long services really take, what was spent, and what came back."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

from tracker.cli.asking.sums import in_total, ordered, summed
from tracker.cli.columns import Column, usual
from tracker.cli.options import Asked, Bound, asking, database
from tracker.cli.out import show_json, show_text
from tracker.errors import UsageFault

if TYPE_CHECKING:
    from tracker.store.reading.history import History

PERIOD: Final = "30d"
OVERVIEW: Final = 10
"""Rows of each table where all three are shown."""

TEMPO: Final = (
    Column("panel", rank=9),
    Column("service_id", "service", right=True),
    Column("name", fold=True, rank=4),
    Column("orders", right=True),
    Column("settled", right=True, more=True),
    Column("starts", right=True, more=True),
    Column("start_median_seconds", "starts in", right=True),
    Column("start_p90_seconds", "90%", right=True, rank=3),
    Column("finishes", right=True, more=True),
    Column("finish_median_seconds", "done in", right=True),
    Column("finish_p90_seconds", "90%", right=True, rank=2),
    Column("completed_share", right=True),
    Column("partial_share", right=True, rank=5),
    Column("canceled_share", right=True, rank=6),
    Column("delivered_per_hour", "an hour", right=True, rank=1),
    Column("refills", right=True, rank=8),
    Column("refill_success_share", "refilled", right=True, rank=7),
)
SPEND: Final = (
    Column("day"),
    Column("panel", rank=1),
    Column("service_id", "service", right=True),
    Column("name", fold=True),
    Column("orders", right=True),
    Column("charge", right=True),
    Column("currency"),
    Column("unpriced", right=True, rank=2),
)
REFUNDS: Final = (
    Column("panel", rank=1),
    Column("service_id", "service", right=True),
    Column("state", state=True),
    Column("orders", right=True),
    Column("charged", right=True),
    Column("charge", "now", right=True, rank=2),
    Column("refunded", right=True),
    Column("undelivered", right=True, rank=3),
    Column("currency"),
)


class Question(NamedTuple):
    """What is asked, beyond what every list is."""

    asked: Asked
    service: str | None
    by: str

    @property
    def which(self) -> str:
        """Return ` of service 412 of panel acme`, for a sentence."""
        return (f" of service {self.service}" if self.service else "") + self.asked.where


class Answer(NamedTuple):
    """One of the three tables."""

    title: str
    columns: Sequence[Column]
    rows: Sequence[dict[str, Any]]
    empty: str
    total: str = ""
    """What it adds up to, for people."""


@click.command()
@click.argument("what", type=click.Choice(("tempo", "spend", "refunds")), required=False)
@click.option("--service", help="Only this service.")
@click.option(
    "--by",
    type=click.Choice(("day", "service")),
    default="day",
    show_default=True,
    help="Spend: a row for each day (UTC) or for each service.",
)
@asking(*TEMPO, *SPEND, *REFUNDS, limit=None, most=f"[default: 50; {OVERVIEW} of each in the overview]")
def stats(asked: Asked, *, what: str | None, service: str | None, by: str) -> None:
    """Tell how long services really take, what was spent, and what came back: of the last 30 days, or --since.

    \b
    What did service 412 cost me this month?   tracker stats spend --service 412 --since 2026-11
    How long does it really take?              tracker stats tempo --service 412
    Where does my money go?                    tracker stats spend --by service
    Does a panel give back what it cancels?    tracker stats refunds

    Tempo and spend are about the orders bought in that time, refunds about those that ended in it.
    """  # noqa: D301  # click looks for the character itself, not for a backslash and a letter
    _check(asked, what)
    if asked.since is None:
        asked = replace(asked, since=Bound(PERIOD, datetime.now(UTC) - timedelta(days=30)))
    if what is not None:
        asked = asked.at_most(50)
        answer = _ANSWERS[what](database(asked.config).history, Question(asked, service, by))
        _tell(answer, asked)
        return
    history = database(asked.config).history
    asked = asked if asked.format_ == "json" else asked.at_most(OVERVIEW)
    answers = {name: make(history, Question(asked, service, by)) for name, make in _ANSWERS.items()}
    if asked.format_ == "json":
        show_json({name: _plain(answer, asked) for name, answer in answers.items()})
        return
    for place, answer in enumerate(answers.values()):
        click.echo(f"{chr(10) if place else ''}{answer.title}{asked.period}\n")
        _tell(answer, asked)


def _check(asked: Asked, what: str | None) -> None:
    """Refuse what only one of the tables can do."""
    if what is None and asked.format_ in {"csv", "jsonl"}:
        raise UsageFault(f"{asked.format_} is one table: say tempo, spend or refunds.")
    if what is None and (asked.sort or asked.columns):
        raise UsageFault("--sort and --columns are about one table: say tempo, spend or refunds.")
    if what in {None, "tempo"} and asked.until:
        raise UsageFault("The tempo is that of all orders bought since then: --until is for spend and refunds.")


def _tell(answer: Answer, asked: Asked) -> None:
    asked.show(answer.rows, answer.columns, answer.empty)
    if answer.rows and answer.total and asked.format_ == "table":
        show_text(f"\n{answer.total}")


def _plain(answer: Answer, asked: Asked) -> list[dict[str, object]]:
    columns = usual(answer.columns, asked.format_)
    return [{column.name: row[column.name] for column in columns} for row in answer.rows[: asked.limit]]


def _tempo(history: "History", question: Question) -> Answer:
    asked = question.asked
    rows = history.tempo(asked.panel, question.service, since=asked.span["since"], **asked.how(TEMPO))
    title = "How long services take, by the orders bought"
    return Answer(title, TEMPO, rows, f"No order{question.which} was bought{asked.period}.")


def _spend(history: "History", question: Question) -> Answer:
    asked = question.asked
    by = ("day",) if question.by == "day" else ("service_id", "name")
    columns = [column for column in SPEND if column.name in by or column.name not in {"day", "service_id", "name"}]
    sort = asked.how(columns)["sort"] or ("-day" if question.by == "day" else "-charge")
    told = history.spend(asked.panel, question.service, **asked.span, limit=None)
    rows = ordered(summed(told, (*by, "panel", "currency")), sort)
    orders, unpriced = (sum(row[name] for row in told) for name in ("orders", "unpriced"))
    total = f"In total: {in_total(told, 'charge')} for {orders} orders{question.which}."
    total += f" The charge of {unpriced} is not known yet." if unpriced else ""
    return Answer("What was spent", columns, rows, f"No order{question.which} was bought{asked.period}.", total)


def _refunds(history: "History", question: Question) -> Answer:
    asked = question.asked
    sort = asked.how(REFUNDS)["sort"]
    rows = history.refunds(asked.panel, question.service, **asked.span, sort=sort, limit=None)
    empty = f"No order{question.which} ended as partial, canceled or refunded{asked.period}."
    total = f"In total: {in_total(rows, 'refunded')} came back of {in_total(rows, 'charged')} charged.\n"
    total += f"What was paid for and not delivered is worth {in_total(rows, 'undelivered')}."
    return Answer("What came back of orders that ended early", REFUNDS, rows, empty, total)


_ANSWERS: Final[dict[str, Callable[["History", Question], Answer]]] = {
    "tempo": _tempo,
    "spend": _spend,
    "refunds": _refunds,
}
