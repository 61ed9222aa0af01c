"""A long history made by the database itself: orders of 300 days, ten transitions and one progress row each.

Half of the orders of the last 12 days are open, and every 200th of the last 60 days is stuck. A tenth of all lies
within the last 30 days.
"""

import time
from typing import Any, Final

from bench.common import plain

from tracker.store.database import opened

TRANSITIONS: Final = 10
DAYS: Final = 300
SERVICES: Final = 400
PANEL: Final = "bench"
NOW: Final = int(time.time())
"""One moment for all statements: heads and histories must agree to the second."""

DIALECTS: Final = {
    "sqlite": {
        "orders_numbers": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})",
        "steps": "(WITH RECURSIVE s(k) AS (SELECT 1 UNION ALL SELECT k + 1 FROM s WHERE k < 10) SELECT k FROM s)",
        "moment": "(datetime({0}, 'unixepoch') || '.000000')",
    },
    "postgresql": {
        "orders_numbers": "WITH n(i) AS (SELECT generate_series(CAST(1 AS BIGINT), {count}))",
        "steps": "(SELECT generate_series(1, 10) AS k)",
        "moment": "to_timestamp({0})",
    },
}

# When order i was bought, and how long each of its states lasts, in whole seconds.
BEGUN: Final = "({now} - 21600 - ({count} - i) * 86400 * {days} / {count})"
STEP: Final = "(30 + i * 7919 % 1800)"
OPEN: Final = "(i > {count} - {count} / 25 AND i % 2 = 0 OR i % 200 = 0 AND i > {count} - {count} / 5)"
MOVING: Final = "({open} AND i % 200 <> 0)"
"""Its figures moved just now: its row of progress is the newest."""
CLOSED: Final = "(NOT {open} AND i <= {count} - {count} * 7 / {days})"
ENDS: Final = "CASE i % 20 WHEN 0 THEN 'partial' WHEN 1 THEN 'canceled' ELSE 'completed' END"
CHARGE: Final = "CAST(round((i % 1000) * 0.0137 + 0.09, 4) AS NUMERIC)"

ORDERS: Final = """
INSERT INTO orders (id, panel, order_id, service_id, link, quantity, ref, ordered_at, tracked_at, state,
                    panel_status, charge, currency, start_count, remains, seq, state_at, state_remains, changed_at,
                    checked_at, next_poll_at, settled_at, closed_at)
{numbers}
SELECT i, '{panel}', CAST(1000000 + i AS TEXT), CAST(1 + i / 3 % {services} AS TEXT),
       'https://example.org/people/' || i || '/posts/' || (i * 31), 1000, 'shop-' || i, {begun_at}, {begun_at},
       CASE WHEN {open} THEN 'in_progress' ELSE {ends} END, CASE WHEN {open} THEN 'In progress' ELSE 'Done' END,
       {charge}, 'USD', i % 5000,
       CASE WHEN {moving} THEN 50 WHEN {open} THEN 100 WHEN i % 20 < 2 THEN 300 ELSE 0 END, 10,
       {ended_at}, 900, CASE WHEN {moving} THEN {recent_at} ELSE {ended_at} END, {recent_at},
       {recent_at}, CASE WHEN {open} THEN NULL ELSE {ended_at} END, CASE WHEN {closed} THEN {recent_at} END
FROM n
"""
TRANSITIONS_SQL: Final = """
INSERT INTO transitions (order_key, seq, at, from_state, to_state, panel_status, charge, currency, start_count,
                         remains, round)
{numbers}
SELECT i, k, {step_at},
       CASE k WHEN 1 THEN 'new' WHEN 2 THEN 'pending' WHEN 3 THEN 'processing' ELSE 'in_progress' END,
       CASE k WHEN 1 THEN 'pending' WHEN 2 THEN 'processing' WHEN 10 THEN
            CASE WHEN {open} THEN 'in_progress' ELSE {ends} END ELSE 'in_progress' END,
       CASE WHEN k < 10 THEN 'Step ' || k WHEN {open} THEN 'In progress' ELSE 'Done' END,
       {charge}, 'USD', i % 5000,
       CASE WHEN k < 10 OR {open} THEN 1000 - 100 * (k - 1) WHEN i % 20 < 2 THEN 300 ELSE 0 END,
       'round-' || i % 9999
FROM n CROSS JOIN {steps} s ORDER BY i, k
"""
PROGRESS: Final = """
INSERT INTO progress (order_key, seq, at, charge, currency, start_count, remains)
{numbers}
SELECT i, CASE WHEN {moving} THEN 10 ELSE 9 END, CASE WHEN {moving} THEN {recent_at} ELSE {went_on_at} END,
       {charge}, 'USD', i % 5000, CASE WHEN {moving} THEN 50 ELSE 150 END FROM n
"""
SERVICES_SQL: Final = """
INSERT INTO services (panel, service_id, name, rate, first_seen_at, last_seen_at)
{numbers} SELECT '{panel}', CAST(i AS TEXT), 'Service ' || i, 0.9, {begun_at}, {recent_at} FROM n
"""


def make(database_url: str, count: int) -> None:
    """Make the schema, and `count` orders with their histories, in an empty database."""
    with opened(database_url, create=True) as database:
        database.upgrade()
    with plain(database_url) as connection:
        dialect = "sqlite" if database_url.startswith("sqlite") else "postgresql"
        if dialect == "postgresql":  # the keys are right: checking them one by one takes longer than all the rest
            connection.execute("SET session_replication_role = replica")
        for template, rows in (
            (SERVICES_SQL, SERVICES),
            (ORDERS, count),
            (TRANSITIONS_SQL, count),
            (PROGRESS, count),
        ):
            connection.execute(filled(template, DIALECTS[dialect], rows))
    _settle(database_url)


def filled(template: str, dialect: dict[str, str], count: int) -> str:
    """Spell a template for one database."""
    known: dict[str, Any] = {"count": count, "days": DAYS, "services": SERVICES, "panel": PANEL}
    known |= {"now": NOW, "steps": dialect["steps"], "charge": CHARGE, "ends": ENDS}
    begun = BEGUN.format(**known)
    known["open"] = OPEN.format(**known)
    known["moving"] = MOVING.format(**known)
    known["closed"] = CLOSED.format(**known)
    moments = {
        "begun_at": begun,
        "step_at": f"{begun} + k * {STEP}",
        "ended_at": f"{begun} + 10 * {STEP}",
        "went_on_at": f"{begun} + 9 * {STEP} + 15",
        "recent_at": f"{NOW} - i % 18000",
    }
    known |= {name: dialect["moment"].format(seconds) for name, seconds in moments.items()}
    return template.format(numbers=dialect["orders_numbers"].format(count=count), **known)


def _settle(database_url: str) -> None:
    """Leave the database as one that has run for long: its log written back, its statistics known."""
    with plain(database_url) as connection:
        if database_url.startswith("sqlite"):
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            return
        connection.commit()
        connection.autocommit = True
        connection.execute("VACUUM (ANALYZE)")
