"""Drawn rows for every table of history, with what is awkward in a file: formulas, quotes, scripts, extremes."""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count
from typing import Any, TypeAlias

from hypothesis import strategies as st
from sqlalchemy import Table

from tracker.store.schema import (
    anomalies,
    balance_snapshots,
    orders,
    progress,
    refill_transitions,
    refills,
    rounds,
    service_changes,
    services,
    transitions,
)

Rows: TypeAlias = dict[Table, list[dict[str, Any]]]

AWKWARD = (
    "=1+1",
    "+7",
    "-5",
    "@a,b",
    "-",
    "a\nb",
    'say "x"',
    "",
    "\x1b[31m",
    "\u202eabc",
    "заказ",
    "a,",
    "👩\u200d👧",
)
EXTREME = ("0", "0.00000001", "-0.0001", "999999999999999", "0.3")


def _amount(digits: int, places: int) -> Decimal:
    return Decimal(digits).scaleb(-places)


def _whole_second(moment: datetime) -> datetime:
    """Let every second moment have no fraction: those are spelled without one."""
    return moment.replace(microsecond=0) if moment.second % 2 else moment


ids = count(1)
texts = st.sampled_from(AWKWARD) | st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12
)
amounts = st.sampled_from([Decimal(one) for one in EXTREME]) | st.builds(
    _amount, st.integers(-(10**15) + 1, 10**15 - 1), st.integers(0, 8)
)
wholes = st.integers(-(2**63), 2**63 - 1)
flags = st.sampled_from([None, True, False])
moments = st.datetimes(
    datetime(2000, 1, 1),  # noqa: DTZ001  # the zone is told apart
    datetime(2100, 1, 1),  # noqa: DTZ001
    timezones=st.just(UTC),
).map(_whole_second)

FIGURES = {
    "charge": st.none() | amounts,
    "currency": st.none() | texts,
    "start_count": st.none() | wholes,
    "remains": st.none() | wholes,
}
PLAN = {"tracked_at": moments, "state_at": moments, "next_poll_at": moments, "panel_status": st.none() | texts}
MOVE = {"at": moments, "from_state": texts, "to_state": texts, "panel_status": st.none() | texts, "round": texts}


def row(
    told: Mapping[str, object], *drawn: Mapping[str, st.SearchStrategy[Any]]
) -> st.SearchStrategy[dict[str, Any]]:
    """Return what makes a row of values that are told and values that are drawn."""
    parts: dict[str, st.SearchStrategy[Any]] = {name: st.just(value) for name, value in told.items()}
    for more in drawn:
        parts |= more
    return st.fixed_dictionaries(parts)


@st.composite
def histories(draw: st.DrawFn) -> Rows:
    """Draw some rows for every table: one order, one refill, one service, and what happened to them."""
    key = next(ids)
    mine = {"panel": draw(st.sampled_from(["acme", "beta"])), "order_id": f"{draw(st.sampled_from('ab-='))}{key}"}
    at_mine = {"panel": mine["panel"]}
    service = {**at_mine, "service_id": f"{key}{draw(texts)}"}
    optional = {"link": st.none() | texts, "ref": st.none() | texts, "changed_at": st.none() | moments}
    seen = {"first_seen_at": moments, "last_seen_at": moments}
    detail = {
        "name": texts,
        "rate": st.none() | amounts,
        "min": st.none() | wholes,
        "refill": flags,
        "cancel": flags,
    }
    span = {"started_at": moments, "finished_at": moments, "error": st.none() | texts}
    moves = [row({"order_key": key, "seq": seq}, MOVE, FIGURES) for seq in range(1, draw(st.integers(2, 4)))]
    made = {
        orders: [row({"id": key, **mine}, PLAN, FIGURES, optional)],
        transitions: moves,
        progress: [row({"order_key": key, "seq": 1}, {"at": moments}, FIGURES)] * draw(st.integers(0, 2)),
        refills: [row({"id": key, **mine, "refill_id": str(key)}, PLAN)],
        refill_transitions: [row({"refill_key": key, "seq": 1}, MOVE)],
        services: [row(service, seen, detail)],
        service_changes: [row({**service, "field": "rate", "old": "1.5", "new": "0.25"}, {"at": moments})],
        balance_snapshots: [row(at_mine, {"at": moments, "balance": amounts, "currency": texts})],
        rounds: [row({**at_mine, "round": f"{draw(texts)} {key}", "kind": "balance", "outcome": "ok"}, span)],
        anomalies: [
            row({**at_mine, "order_id": draw(texts), "kind": str(key)}, {"first_at": moments, "last_at": moments},
                {"detail": st.none() | texts})
        ],
    }  # fmt: skip
    return {table: [draw(one) for one in rows] for table, rows in made.items()}
