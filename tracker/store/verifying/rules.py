"""What a rule is, and the rules that hold for histories and amounts alike.

A `Check` looks at the rows of one table beside what they have to agree with; each of its rules is a condition that
must be true of none of them. One statement evaluates them all, so a table is read once, however many they are.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple, TypeAlias

from sqlalchemy import (
    ColumnElement,
    FromClause,
    Select,
    String,
    Table,
    and_,
    bindparam,
    cast,
    func,
    literal,
    literal_column,
    or_,
    select,
    type_coerce,
)

from tracker.store.types import Moment, Money, Stamp

FIGURES: Final = ("charge", "currency", "start_count", "remains")

BEYOND: Final = 10**15
"""Amounts are believed up to 15 digits before the point (`tracker.panel.fields`)."""

FLAG: Final = "breaks "
"""Before the name of a rule: the column that says whether a row breaks it. No column of a table has a space."""

LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

Condition: TypeAlias = ColumnElement[bool]
Shown: TypeAlias = Sequence[ColumnElement[Any]]
Within: TypeAlias = Callable[[ColumnElement[Any]], Condition]


class Narrowed(NamedTuple):
    """Which part of the history is looked at; None does not narrow."""

    panel: str | None = None
    since: datetime | None = None
    """Only what has changed since."""


class Rule(NamedTuple):
    """One thing that must never be found."""

    name: str
    promise: str
    """Which of the promises in `docs/reliability.md` it breaks; empty for a rule of the house."""
    says: str
    """What is wrong with such a row."""
    broken: Condition


class Check(NamedTuple):
    """The rows of a table, and what must not be true of any of them."""

    table: Table
    key: ColumnElement[Any]
    """The column of `source` by which rows are chosen; the table has it under the same name."""
    chosen: Within
    source: FromClause
    shown: Shown
    rules: Sequence[Rule]

    def statement(self) -> Select[*tuple[Any, ...]]:
        """Select the rows that break a rule: what is shown of them, then a yes or no for each rule."""
        flags = (rule.broken.label(FLAG + rule.name) for rule in self.rules)
        found = select(*self.shown, *flags).select_from(self.source)
        return found.where(self.chosen(self.key), or_(*(rule.broken for rule in self.rules)))

    def counting(self) -> Select[int]:
        """Select how many rows are looked at."""
        return select(func.count()).select_from(self.table).where(self.chosen(self.table.c[str(self.key.key)]))


def within(column: ColumnElement[Any]) -> Condition:
    """Return the condition that a key lies in the range of a step, whose ends are parameters."""
    low, high = bindparam("low", type_=column.type), bindparam("high", type_=column.type)
    return and_(column > low, column <= high)


def belonging(head: ColumnElement[int], only: Sequence[Condition]) -> Within:
    """Return what chooses heads, or the rows of heads, by the key of the head: what `only` leaves of a range."""

    def chosen(key: ColumnElement[int]) -> Condition:
        left = select(head).where(within(head), *only).correlate(None)
        return and_(within(key), key.in_(left)) if only else within(key)

    return chosen


def of_panel(column: ColumnElement[str], panel: str) -> Condition:
    """Return whether a row is one of a panel, in a form that no index answers.

    The range of keys narrows far more, but SQLite cannot know that: it read all rows of the panel for each step.
    """
    return column.concat("") == panel


def as_kept(source: FromClause, *names: str, before: str = "") -> list[ColumnElement[Any]]:
    """Return columns as the database has them: a value that breaks a rule may not be what its type says."""
    return [_as_kept(source.c[name]).label(f"{before}{name}") for name in names]


def _as_kept(column: ColumnElement[Any]) -> ColumnElement[Any]:
    if column.type is Money:
        return cast(column, String())
    return type_coerce(column, Stamp) if column.type is Moment else column


def differ(one: FromClause, other: FromClause) -> Condition:
    """Return whether a figure differs; NULL equals NULL."""
    return or_(*(one.c[name].is_distinct_from(other.c[name]) for name in FIGURES))


def odd_amount(*amounts: ColumnElement[Any]) -> Condition:
    """Return whether an amount is none: not finite, absurdly large, or (on SQLite) a text.

    SQLite sorts texts above all numbers, Postgres NaN.
    """
    most: ColumnElement[Any] = literal_column(str(BEYOND))
    least: ColumnElement[Any] = literal_column(str(-BEYOND))
    return or_(*(or_(amount <= least, amount >= most) for amount in amounts))


def odd_count(*counts: ColumnElement[int]) -> Rule:
    """Return the rule for counts; only SQLite takes a text for one, and sorts it above all numbers."""
    most: ColumnElement[int] = literal_column(str(2**63 - 1))
    return Rule("count", "P4", "A count is no number.", or_(*(count > most for count in counts)))


def odd_currency(currency: ColumnElement[str]) -> Condition:
    """Return whether a currency is none: not 3 to 8 capital letters (`XXX` says that the panel told none)."""
    return or_(func.length(currency) < 3, func.length(currency) > 8, func.rtrim(currency, LETTERS) != "")


def believable(
    currency: ColumnElement[str], *amounts: ColumnElement[Any], was: ColumnElement[str] | None = None
) -> Iterator[Rule]:
    """Yield the rules for money. `was` is the currency of a row before that is looked at as well."""
    odd = odd_currency(currency)
    if was is not None:  # functions of text are what costs most: a quarter of the whole look at a transition
        odd = and_(currency.is_distinct_from(was), odd)
    yield Rule("amount", "P4", "An amount is no number, not finite, or absurd.", odd_amount(*amounts))
    yield Rule("currency", "P4", "A currency is no code of 3 to 8 capital letters.", odd)


def one_after_another(
    later: FromClause, earlier: FromClause, states: Sequence[str], owned: Condition
) -> Iterator[Rule]:
    """Yield the rules for transitions, each beside the one before it (all NULL where there is none).

    A history begins in the first of `states`, to which nothing ever leads back; `owned`: there is what it is of.
    """
    first, *others = states
    alone = earlier.c.seq.is_(None)
    same = and_(
        later.c.to_state == earlier.c.to_state, later.c.panel_status.is_not_distinct_from(earlier.c.panel_status)
    )
    yield Rule("gap", "P2", "The seq of a history does not run 1, 2, 3 …", and_(alone, later.c.seq != 1))
    yield Rule("repeat", "P2", "A transition says what the one before it said.", same)
    yield Rule(
        "chain",
        "P2",
        "A transition does not begin with the state that the one before it ended with.",
        later.c.from_state != func.coalesce(earlier.c.to_state, literal(first)),
    )
    yield Rule(
        "unknown_state",
        "P4",
        "A transition leads to no state that can be reached.",
        later.c.to_state.not_in(others),
    )
    yield Rule("orphan", "P3", "A transition belongs to nothing.", and_(alone, ~owned))


def head_is_tail(head: FromClause, newest: FromClause, first: str, beyond: Condition) -> Iterator[Rule]:
    """Yield the rules for a head beside its newest transition (all NULL where there is none)."""
    differs = or_(newest.c.to_state != head.c.state, newest.c.panel_status.is_distinct_from(head.c.panel_status))
    yield Rule(
        "head",
        "P3",
        "State or word of a head are not those of its newest transition.",
        or_(
            and_(head.c.seq == 0, head.c.state != first),
            and_(head.c.seq != 0, newest.c.seq.is_(None)),
            and_(newest.c.seq.is_not(None), differs),
        ),
    )
    yield Rule("beyond_head", "P3", "There is history beyond the seq of its head.", beyond)
    yield Rule(
        "state_at",
        "P3",
        "The state of a head did not begin when its newest transition says.",
        and_(newest.c.from_state != newest.c.to_state, newest.c.at != head.c.state_at),
    )


def ended(head: FromClause, settled_states: Sequence[str]) -> Iterator[Rule]:
    """Yield the rules for when something settled and was closed."""
    yield Rule(
        "settled",
        "",
        "A state is settled and settled_at is empty, or the other way round.",
        head.c.state.in_(settled_states) != head.c.settled_at.is_not(None),
    )
    yield Rule("closed_early", "", "It was closed before it settled.", head.c.closed_at < head.c.settled_at)
