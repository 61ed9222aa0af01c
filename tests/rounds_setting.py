"""What the tests of the statuses round share: a desk over fakes, and what it asked."""

from collections.abc import Callable, Sequence

from fakes import FakePanel, Setting, Told, all_pending

from tracker.errors import (
    Interrupted,
    PanelFault,
    ServerFault,
    TimedOut,
    Unavailable,
    Unreachable,
)
from tracker.model import Answer
from tracker.rounds.desk import Report
from tracker.rounds.statuses import statuses

TRANSPORT = [
    TimedOut("15 s"),
    Interrupted("reset"),
    Unreachable("no route"),
    ServerFault("502"),
    Unavailable("soon"),
]
POISON = "42"


def ids(count: int) -> list[str]:
    return [str(number) for number in range(1, count + 1)]


def setting(
    answer: Callable[[Sequence[str]], Told[Answer] | PanelFault] = all_pending, orders: int = 0, in_flight: int = 1
) -> Setting:
    made = Setting(panel=FakePanel(answer, in_flight=in_flight))
    made.store.orders.add(*ids(orders))
    return made


def run(made: Setting, requests: int = 100, may_go_on: Callable[[], bool] = lambda: True) -> Report:
    return statuses(made.desk, requests, may_go_on=may_go_on)


def poisoned(fault: PanelFault) -> Callable[[Sequence[str]], Told[Answer] | PanelFault]:
    return lambda asked: fault if POISON in asked else all_pending(asked)


def sizes(made: Setting) -> list[int]:
    return [len(asked) for asked in made.panel.asked]


def answered(made: Setting) -> set[str]:
    return {one.after.order_id for one in made.store.orders.written if one.answered}
