"""Promises P1 to P3 of the design, checked over a whole database: what was remembered against what was served."""

from collections.abc import Sequence
from typing import Final

from cli_setting import plain, sql
from sqlalchemy import text

from tracker.simulator import Served
from tracker.store.database import Database

History = list[Served]

TIMELINE: Final = """
WITH timeline AS (
    SELECT order_key, seq, 0 AS step, from_state, to_state, panel_status,
           charge, currency, start_count, remains FROM transitions
    UNION ALL
    SELECT order_key, seq, id, NULL, NULL, NULL, charge, currency, start_count, remains FROM progress
), paired AS (
    SELECT timeline.*, row_number() OVER newest AS age,
           lag(seq) OVER oldest AS was_seq, lag(charge) OVER oldest AS was_charge,
           lag(currency) OVER oldest AS was_currency, lag(start_count) OVER oldest AS was_start_count,
           lag(remains) OVER oldest AS was_remains
    FROM timeline
    WINDOW oldest AS (PARTITION BY order_key ORDER BY seq, step),
           newest AS (PARTITION BY order_key ORDER BY seq DESC, step DESC)
)
"""

BROKEN: Final = {
    "P2: the seq of an order's transitions has a gap": """
        SELECT order_key FROM transitions GROUP BY order_key HAVING min(seq) <> 1 OR max(seq) <> count(*)
    """,
    "P2: two neighboring transitions say the same, or do not follow each other": """
        SELECT later.order_key FROM transitions AS later
        LEFT JOIN transitions AS earlier ON earlier.order_key = later.order_key AND earlier.seq = later.seq - 1
        WHERE later.from_state <> coalesce(earlier.to_state, 'new')
           OR (later.to_state = earlier.to_state AND later.panel_status IS NOT DISTINCT FROM earlier.panel_status)
    """,
    "P2: progress repeats the row before it": f"""{TIMELINE}
        SELECT order_key FROM paired WHERE to_state IS NULL AND was_seq = seq
           AND charge IS NOT DISTINCT FROM was_charge AND currency IS NOT DISTINCT FROM was_currency
           AND start_count IS NOT DISTINCT FROM was_start_count AND remains IS NOT DISTINCT FROM was_remains
    """,
    "P2: progress outside of a state": f"""{TIMELINE}
        SELECT order_key FROM paired WHERE to_state IS NULL AND was_seq IS NULL
    """,
    "P3: the head is not the newest transition": """
        SELECT orders.id FROM orders
        LEFT JOIN transitions AS newest ON newest.order_key = orders.id AND newest.seq = orders.seq
        WHERE (orders.seq = 0 AND orders.state <> 'new')
           OR (orders.seq > 0 AND (newest.to_state IS NULL OR newest.to_state <> orders.state
               OR newest.panel_status IS DISTINCT FROM orders.panel_status))
           OR EXISTS (SELECT 1 FROM transitions AS beyond
                      WHERE beyond.order_key = orders.id AND beyond.seq > orders.seq)
    """,
    "P3: the figures of the head are not the newest": f"""{TIMELINE}
        SELECT orders.id FROM orders JOIN paired ON paired.order_key = orders.id AND paired.age = 1
        WHERE orders.charge IS DISTINCT FROM paired.charge OR orders.currency IS DISTINCT FROM paired.currency
           OR orders.start_count IS DISTINCT FROM paired.start_count
           OR orders.remains IS DISTINCT FROM paired.remains OR orders.seq <> paired.seq
    """,
}
"""What must never be found -> the rows that would show it. Each is one statement, and so one snapshot."""


def broken(database_url: str) -> dict[str, object]:
    """Return every broken promise with the orders that break it."""
    with plain(database_url) as connection:
        found = {promise: connection.execute(text(statement)).all() for promise, statement in BROKEN.items()}
    return {promise: rows for promise, rows in found.items() if rows}


def remembered(database: Database, url: str) -> dict[tuple[str, str], History]:
    """Return the history of every order, as the rows in which a panel would have served it."""
    histories: dict[tuple[str, str], History] = {}
    for key, panel, order_id in sql(url, "SELECT id, panel, order_id FROM orders"):
        said, word = [], ""
        for row in database.history.timeline(key):
            word = row["panel_status"] if row["to_state"] else word
            said.append(Served(word, row["charge"], row["currency"], row["start_count"], row["remains"]))
        histories[panel, order_id] = said
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
