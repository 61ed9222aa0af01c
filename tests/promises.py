"""Promises P1 to P3 (docs/reliability.md), over a whole database: what was remembered against what was served."""

from collections.abc import Sequence

from cli_setting import sql
from sqlalchemy import select

from tracker.simulator import Served
from tracker.store.database import Database, opened
from tracker.store.engine import reading
from tracker.store.reading.views import VIEWS

History = list[Served]


def broken(database_url: str) -> dict[str, object]:
    """Return every rule that the history breaks (those of `tracker verify`), with the rows that break it."""
    with opened(database_url) as database:
        found = database.verify().violations
    return {f"{one.promise} {one.rule} of {one.table}: {one.says}": one.rows for one in found}


def remembered(database: Database, url: str) -> dict[tuple[str, str], History]:
    """Return the history of every order, as the rows in which a panel would have served it."""
    view = VIEWS["order_timeline"].c
    figures = (view.charge, view.currency, view.start_count, view.remains)
    said = select(view.panel, view.order_id, view.event, view.panel_status, *figures)
    histories: dict[tuple[str, str], History] = {
        (panel, order_id): [] for panel, order_id in sql(url, "SELECT panel, order_id FROM orders")
    }
    with reading(database._engine) as connection:
        rows = connection.execute(said.order_by(view.order_key, view.seq, view.step)).all()
    for panel, order_id, event, word, *told in rows:
        history = histories[panel, order_id]
        before = history[-1].panel_status if history else ""  # a broken history may begin with progress
        history.append(Served(word if event == "state" else before, *told))
    return histories


def refills(url: str) -> dict[tuple[str, str], list[str]]:
    """Return the words that every refill went through."""
    found: dict[tuple[str, str], list[str]] = {}
    for panel, refill_id, word in sql(
        url,
        "SELECT panel, refill_id, moved.panel_status FROM refills"
        " JOIN refill_transitions AS moved ON refills.id = refill_key ORDER BY moved.seq",
    ):
        found.setdefault((panel, refill_id), []).append(word)
    return found


def without_repeats(served: Sequence[Served]) -> History:
    """Return what is to be remembered of what was served: a figure that was not told stays as it was."""
    history: History = []
    for one in served:
        known = history[-1] if history else Served("")
        figures = (before if after is None else after for before, after in zip(known[1:], one[1:], strict=True))
        told = Served._make([one.panel_status, *figures])
        if told != known:
            history.append(told)
    return history
