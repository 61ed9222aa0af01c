"""What another program may do to rows, one case for each thing that `tracker verify` has to find."""

from collections.abc import Mapping
from typing import Final, NamedTuple, TypeAlias

Names: TypeAlias = frozenset[str]
"""Rules as `table.rule`."""


class Case(NamedTuple):
    """One thing that another program does to the rows of one order, refill, service or intent."""

    sql: str
    breaks: Names
    only: str = ""
    """The database on which alone this is possible."""


def _breaks(*names: str) -> Names:
    return frozenset(names)


def _head(change: str, *names: str, only: str = "") -> Case:
    return Case(f"UPDATE orders SET {change} WHERE id = :key", _breaks(*names), only)


def _tail(change: str, seq: int, *names: str) -> Case:
    return Case(f"UPDATE transitions SET {change} WHERE order_key = :key AND seq = {seq}", _breaks(*names))


def _went_on(change: str, remains: int, *names: str) -> Case:
    return Case(f"UPDATE progress SET {change} WHERE order_key = :key AND remains = {remains}", _breaks(*names))


ORDERS: Final[Mapping[str, Case]] = {
    "nothing": Case("SELECT :key", _breaks()),
    "another state": _head("state = 'paused'", "orders.head"),
    "another word": _head("panel_status = 'Working'", "orders.head"),
    "a seq without its transition": _head("seq = 4", "orders.head"),
    "a seq that was left behind": _head(
        "seq = 2, state = 'in_progress', panel_status = 'In progress', remains = 300",
        *("orders.beyond_head", "orders.state_at", "orders.figures", "orders.changed_at"),
    ),
    "a state before the first": _head("seq = 0", "orders.head", "orders.beyond_head", "orders.changed_at"),
    "a state that began at another time": _head("state_at = tracked_at", "orders.state_at"),
    "other figures": _head("remains = 199", "orders.figures"),
    "figures that are gone": _head("charge = NULL", "orders.figures"),
    "no time of its last change": _head("changed_at = NULL", "orders.changed_at"),
    "changed at another time": _head("changed_at = tracked_at", "orders.changed_at"),
    "never answered": _head("checked_at = NULL", "orders.checked_at"),
    "misses that are a text": _head("misses = 'many'", "orders.count", only="sqlite"),
    "settled while it is open": _head("settled_at = changed_at", "orders.settled"),
    "closed before it settled": _head(
        "settled_at = changed_at, closed_at = tracked_at", "orders.settled", "orders.closed_early"
    ),
    "its own parent": _head("parent = id", "orders.parent"),
    "a parent at another panel": _head("parent = (SELECT id FROM orders WHERE panel = 'other')", "orders.parent"),
    "an endless charge": _head("charge = 1000000000000000", "orders.amount", "orders.figures"),
    "a charge that is a text": _head("charge = 'abc'", "orders.amount", "orders.figures", only="sqlite"),
    "a charge that is no number": _head("charge = 'NaN'", "orders.amount", "orders.figures", only="postgresql"),
    "an infinite charge": _head("charge = '-Infinity'", "orders.amount", "orders.figures", only="postgresql"),
    "a currency that is none": _head("currency = 'us$'", "orders.currency", "orders.figures"),
    "a transition that is gone": Case(
        "DELETE FROM transitions WHERE order_key = :key AND seq = 1",
        _breaks("transitions.gap", "transitions.chain"),
    ),
    "a transition that says the same": _tail(
        "to_state = 'pending', panel_status = 'Pending'", 2, "transitions.repeat", "transitions.chain"
    ),
    "a state that nothing led to": _tail("from_state = 'paused'", 3, "transitions.chain"),
    "a state that does not exist": _tail(
        "to_state = 'shipped'", 2, "transitions.unknown_state", "transitions.chain"
    ),
    "a figure that was forgotten": _tail("remains = NULL", 2, "transitions.forgotten"),
    "an absurd amount on the way": _tail("charge = -1000000000000000", 2, "transitions.amount"),
    "a currency of two letters on the way": _tail("currency = 'US'", 2, "transitions.currency"),
    "an order that is gone": Case(
        "DELETE FROM orders WHERE id = :key",
        _breaks("transitions.orphan"),
    ),
    "progress of a state that never was": _went_on(
        "seq = 9", 200, "progress.stray_progress", "orders.beyond_head", "orders.figures", "orders.changed_at"
    ),
    "progress of a state that was over": _went_on("seq = 1", 300, "progress.progress_back"),
    "progress that says the same": _went_on("remains = 600", 300, "progress.progress_repeat"),
    "progress that says what its transition says": _went_on("remains = 1000", 600, "progress.progress_repeat"),
    "progress that is not in the head": _went_on("remains = 250", 200, "orders.figures"),
    "progress that forgets a figure": _went_on("start_count = NULL", 300, "progress.forgotten"),
    "progress that was forgotten": Case(
        "UPDATE transitions SET start_count = NULL WHERE order_key = :key", _breaks("progress.forgotten")
    ),
    "progress at another time": _went_on("at = '2001-01-01 00:00:00'", 200, "orders.changed_at"),
    "progress with a count that is a text": Case(
        "UPDATE progress SET start_count = 'abc' WHERE order_key = :key AND remains = 600",
        _breaks("progress.count"),
        only="sqlite",
    ),
    "a count that is a text on the way": Case(
        "UPDATE transitions SET start_count = 'abc' WHERE order_key = :key AND seq = 1",
        _breaks("transitions.count"),
        only="sqlite",
    ),
    "progress with an absurd amount": _went_on("charge = 1000000000000000", 600, "progress.amount"),
    "progress with a currency that is none": _went_on("currency = 'dollars and cents'", 600, "progress.currency"),
}
"""What is done to an order that lived through `verify_setting.LIFE`."""

REFILLS: Final[Mapping[str, Case]] = {
    "nothing": Case("SELECT :key", _breaks()),
    "another state": Case("UPDATE refills SET state = 'rejected' WHERE id = :key", _breaks("refills.head")),
    "history beyond": Case(
        "UPDATE refills SET seq = 2, state = 'in_progress', panel_status = 'In_progress' WHERE id = :key",
        _breaks("refills.beyond_head", "refills.state_at", "refills.settled"),
    ),
    "a state that began at another time": Case(
        "UPDATE refills SET state_at = tracked_at WHERE id = :key", _breaks("refills.state_at")
    ),
    "not settled": Case("UPDATE refills SET settled_at = NULL WHERE id = :key", _breaks("refills.settled")),
    "closed before it settled": Case(
        "UPDATE refills SET closed_at = '2001-01-01 00:00:00' WHERE id = :key", _breaks("refills.closed_early")
    ),
    "of an order that is not here": Case(
        "UPDATE refills SET order_id = 'nowhere' WHERE id = :key", _breaks("refills.refill_of_nothing")
    ),
    "a gap": Case(
        "DELETE FROM refill_transitions WHERE refill_key = :key AND seq = 1",
        _breaks("refill_transitions.gap", "refill_transitions.chain"),
    ),
    "a repeat": Case(
        "UPDATE refill_transitions SET to_state = 'pending', panel_status = 'Pending'"
        " WHERE refill_key = :key AND seq = 2",
        _breaks("refill_transitions.repeat", "refill_transitions.chain"),
    ),
    "a state that does not exist": Case(
        "UPDATE refill_transitions SET to_state = 'requested' WHERE refill_key = :key AND seq = 2",
        _breaks("refill_transitions.unknown_state", "refill_transitions.chain"),
    ),
    "gone": Case("DELETE FROM refills WHERE id = :key", _breaks("refill_transitions.orphan")),
}

INTENTS: Final[Mapping[str, Case]] = {
    "nothing": Case("SELECT :key", _breaks()),
    "no order": Case(
        "UPDATE intents SET order_key = NULL WHERE uuid = :key", _breaks("intents.intent_without_order")
    ),
    "another's order": Case(
        "UPDATE intents SET order_id = '1' WHERE uuid = :key", _breaks("intents.intent_of_other")
    ),
    "an order without an outcome": Case(
        "UPDATE intents SET state = 'unknown' WHERE uuid = :key", _breaks("intents.order_not_bought")
    ),
    "a refill without an outcome": Case(
        "UPDATE intents SET action = 'refill', refill_id = 'r0', order_id = 'o0', state = 'rejected',"
        " order_key = (SELECT id FROM orders WHERE order_id = 'o0') WHERE uuid = :key",
        _breaks("intents.order_not_bought"),
    ),
    "bought twice": Case(
        "INSERT INTO intents (uuid, panel, action, state, payload, order_id, order_key, deadline_at, finished_at)"
        " SELECT uuid || '-twin', panel, action, state, payload, order_id, order_key, deadline_at, finished_at"
        " FROM intents WHERE uuid = :key",
        _breaks("intents.bought_twice"),
    ),
    "being sent and finished": Case(
        "UPDATE intents SET state = 'sending', order_key = NULL WHERE uuid = :key", _breaks("intents.finished")
    ),
    "a reason and no question": Case(
        "UPDATE intents SET resolution = 'so' WHERE uuid = :key", _breaks("intents.resolution")
    ),
    "a deadline before it was sent": Case(
        "UPDATE intents SET deadline_at = '2001-01-01 00:00:00' WHERE uuid = :key", _breaks("intents.deadline")
    ),
    "an absurd price": Case(
        "UPDATE intents SET price = 1000000000000000 WHERE uuid = :key", _breaks("intents.amount")
    ),
    "a currency that is none": Case(
        "UPDATE intents SET currency = '' WHERE uuid = :key", _breaks("intents.currency")
    ),
    "a refill that is not here": Case(
        "UPDATE intents SET action = 'refill', refill_id = 'r404' WHERE uuid = :key",
        _breaks("intents.refill_lost"),
    ),
}

SERVICES: Final[Mapping[str, Case]] = {
    "nothing": Case("SELECT :key", _breaks()),
    "another value": Case(
        "UPDATE service_changes SET old = '7' WHERE service_id = :key AND new = '1.5'",
        _breaks("service_changes.service_chain"),
    ),
    "no change": Case(
        "UPDATE service_changes SET new = old WHERE service_id = :key AND new = '1.5'",
        _breaks("service_changes.service_repeat"),
    ),
    "gone twice": Case(
        "UPDATE service_changes SET field = 'gone' WHERE service_id = :key AND field = 'returned'",
        _breaks("service_changes.service_presence"),
    ),
    "gone, and its last change says otherwise": Case(
        "INSERT INTO services (panel, service_id, name, first_seen_at, last_seen_at, gone_at) VALUES"
        " ('acme', :key, 'x', '2026-03-01 12:00:00', '2026-03-01 12:00:00', '2026-03-01 12:00:00')",
        _breaks("service_changes.service_gone"),
    ),
    "back without having gone": Case(
        "DELETE FROM service_changes WHERE service_id = :key AND field = 'gone'",
        _breaks("service_changes.service_presence"),
    ),
}

BALANCES: Final[Mapping[str, Case]] = {
    "nothing": Case("SELECT :key", _breaks()),
    "an absurd amount": Case(
        "UPDATE balance_snapshots SET balance = 1000000000000000 WHERE id = :key",
        _breaks("balance_snapshots.amount"),
    ),
    "a currency that is none": Case(
        "UPDATE balance_snapshots SET currency = 'usd' WHERE id = :key", _breaks("balance_snapshots.currency")
    ),
}

KINDS: Final[Mapping[str, Mapping[str, Case]]] = {
    "orders": ORDERS,
    "refills": REFILLS,
    "intents": INTENTS,
    "services": SERVICES,
    "balances": BALANCES,
}
