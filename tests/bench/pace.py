"""How soon changes are seen: the real `tracker.pace` over simulated orders in virtual time, beside asking in turn.

    cd tests && python -m bench.pace [--quick] [--population NAME] [--open N] [--budget N] [--seed N]

Prints one JSON line per population, number of open orders and requests a minute, and a summary to stderr. Delays
are minutes from the change at the panel until it is seen; rounds are a minute apart, so 0.5 is the least that any
policy can reach on average. What was not seen by the end counts with its delay so far. Both policies ask as many
settled orders again as the rule does.
"""

import argparse
import json
import random
import sys
import time
from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import ceil
from statistics import fmean
from typing import Any, Final, TypeAlias

from bench.population import POPULATIONS, World

from tracker import pace
from tracker.model import BATCH, Order, State

EPOCH: Final = datetime(2026, 1, 1, tzinfo=UTC)
Figures: TypeAlias = dict[str, Any]
"""JSON."""

FEWEST_ASKS: Final = 10
"""A budget below this many ids per order bought is no budget to compare policies with: six go to settled ones."""


@dataclass
class Seen:
    """Delays until starts and ends were seen; changes before `since` are not counted."""

    since: float
    starts: list[float] = field(default_factory=list)
    ends: list[tuple[float, str]] = field(default_factory=list)

    def start(self, at: float, now: float) -> None:
        if self.since < at <= now:
            self.starts.append(now - at)

    def end(self, at: float, now: float, kind: str) -> None:
        if self.since < at <= now:
            self.ends.append((now - at, kind))

    def figures(self) -> Figures:
        by_kind = defaultdict[str, list[float]](list)
        for delay, kind in self.ends:
            by_kind[kind].append(delay)
        return {
            "start": _mean_and_most(self.starts),
            "end": _mean_and_most([delay for delay, _ in self.ends]),
            "end_means": {kind: round(fmean(delays), 2) for kind, delays in sorted(by_kind.items())},
        }


def _mean_and_most(delays: Sequence[float]) -> dict[str, float]:
    ordered = sorted(delays)
    most = ordered[int(0.95 * (len(ordered) - 1))]
    return {"changes": len(ordered), "mean": round(fmean(ordered), 2), "p95": round(most, 2)}


def settled_life(pacing: pace.Pacing, factor: float) -> tuple[int, float]:
    """Return how often an order is asked after it settled, and the minutes until it is closed."""
    order, now, asked = known("completed", EPOCH, 0, EPOCH, 0), EPOCH, 0
    while now - EPOCH < timedelta(seconds=pacing.grace):
        now, asked = pace.due(now, pace.interval(order, now, pacing, factor), 0.5), asked + 1
    return asked, (now - EPOCH).total_seconds() / 60


def known(state: State, state_at: datetime, state_remains: int, changed_at: datetime, remains: int) -> Order:
    """Return an order as the database would know it."""
    return Order(0, "1", state, state, None, None, None, remains, None, 1, state_at, state_remains, changed_at,
                 None, None, 0, None)  # fmt: skip


def in_turn(world: World, requests: int, minutes: int, since: int, settled: float) -> Figures:
    """Ask every open order in turn, as many a minute as the budget and `settled` settled ones leave room for."""
    seen, bought = Seen(since), world.bought
    starts, ends = [at + life.start for at, life in bought], [at + life.end for at, life in bought]
    begun = [at <= 0 for at in starts]
    ring, arrived, room = deque(range(world.open)), world.open, 0.0
    for now in range(1, minutes + 1):
        while arrived < len(bought) and bought[arrived][0] <= now:
            ring.append(arrived)
            arrived += 1
        room = min(room + requests * BATCH - settled, requests * BATCH)
        for _ in range(min(max(int(room), 0), len(ring))):
            one = ring.popleft()
            room -= 1
            if not begun[one] and now >= starts[one]:
                begun[one] = True
                seen.start(starts[one], now)
            if now >= ends[one]:
                seen.end(ends[one], now, bought[one][1].kind)
            else:
                ring.append(one)
    for one in ring:
        seen.end(ends[one], minutes, bought[one][1].kind)
        if not begun[one]:
            seen.start(starts[one], minutes)
    return seen.figures()


class Ruled:
    """Follows the orders of a world by `tracker.pace`, as rounds do."""

    def __init__(self, world: World, requests: int, minutes: int, since: int) -> None:
        self.world, self.requests, self.minutes = world, requests, minutes
        self.seen, self.pacing, self.factor = Seen(since), pace.Pacing(), 1.0
        self.random = random.Random(1).random
        self.starts = [at + life.start for at, life in world.bought]
        self.ends = [at + life.end for at, life in world.bought]
        self.known: list[Order | None] = [None] * len(world.bought)
        self.calendar: list[list[int]] = [[] for _ in range(minutes + 2)]
        self.late: list[int] = []
        self.newcomers, self.arrived = deque[int](), world.open
        self.following, self.settled_due = world.open, 0.0
        self.used = self.factors = self.settled = 0.0
        for one in range(world.open):
            self._know_old(one)

    def _know_old(self, one: int) -> None:
        at, life = self.world.bought[one]
        begun, idle_since = self.starts[one] <= 0, 0.0
        if begun and life.kind in {"stuck", "silent"}:
            idle_since = min(0.0, self.starts[one] + (life.span if life.kind == "stuck" else 0.0))
        since = EPOCH + timedelta(minutes=self.starts[one] if begun else at)
        changed = EPOCH + timedelta(minutes=idle_since) if begun else since
        remains = life.remains(-at) if begun else life.quantity
        order = known("in_progress" if begun else "pending", since, life.quantity, changed, remains)
        self.known[one] = order
        wait = pace.interval(order, EPOCH, self.pacing) / 60
        self.calendar[min(1 + int(self.random() * wait), self.minutes + 1)].append(one)

    def run(self) -> Figures:
        for minute in range(1, self.minutes + 1):
            chosen, settled = self._plan(minute)
            now = EPOCH + timedelta(minutes=minute)
            asks, life = settled_life(self.pacing, self.factor)
            dealt = settled * life * 60 / asks + sum(self._ask(one, minute, now) for one in chosen)
            following = self.following + int(self.world.per_minute * life)
            asked = len(chosen) + settled
            if minute > self.seen.since:
                self.used += ceil(asked / BATCH)
                self.factors += self.factor
                self.settled += settled
            if asked:
                used = pace.demand(following, dealt / asked, self.requests * BATCH / 60)
                self.factor = pace.tightened(self.factor, used)
        return self._figures()

    def _plan(self, minute: int) -> tuple[list[int], int]:
        """Return whom to ask in this minute, and how many settled ones beside them."""
        bought, room = self.world.bought, self.requests * BATCH
        while self.arrived < len(bought) and bought[self.arrived][0] <= minute:
            self.newcomers.append(self.arrived)
            self.arrived += 1
        self.settled_due += self.world.per_minute * settled_life(self.pacing, self.factor)[0]
        settled = min(int(self.settled_due), room)
        self.settled_due -= settled
        chosen = [self.newcomers.popleft() for _ in range(min(room // 2, room - settled, len(self.newcomers)))]
        self.following += len(chosen)
        self.late += self.calendar[minute]
        fit = room - settled - len(chosen)
        chosen += self.late[:fit]
        del self.late[:fit]
        ahead = minute + 1
        while (spare := -(len(chosen) + settled) % BATCH) and ahead <= min(minute + 5, self.minutes):
            chosen += self.calendar[ahead][-spare:]
            del self.calendar[ahead][-spare:]
            ahead += 1
        return chosen, settled

    def _ask(self, one: int, minute: int, now: datetime) -> float:
        """Ask one order; return the seconds until it is due again, 0 where it has ended."""
        order, (_, life) = self.known[one], self.world.bought[one]
        begun = order is not None and order.state == "in_progress"
        if not begun and minute >= self.starts[one]:
            self.seen.start(self.starts[one], minute)
        if minute >= self.ends[one]:
            self.seen.end(self.ends[one], minute, life.kind)
            self.following -= 1
            return 0.0
        if minute >= self.starts[one]:
            remains = life.remains(minute - self.world.bought[one][0])
            if not begun or order is None:
                order = known("in_progress", now, remains, now, remains)
            elif remains != order.remains:
                order = known("in_progress", order.state_at, order.state_remains or 0, now, remains)
        elif order is None:
            order = known("pending", now, life.quantity, now, life.quantity)
        self.known[one] = order
        seconds = pace.interval(order, now, self.pacing, self.factor) * (1 - pace.JITTER * self.random())
        self.calendar[min(ceil(minute + seconds / 60), self.minutes + 1)].append(one)
        return seconds

    def _figures(self) -> Figures:
        waiting = [*self.late, *self.newcomers, *self.calendar[self.minutes + 1]]
        for one in waiting:
            self.seen.end(self.ends[one], self.minutes, self.world.bought[one][1].kind)
            order = self.known[one]
            if order is None or order.state != "in_progress":
                self.seen.start(self.starts[one], self.minutes)
        measured = self.minutes - int(self.seen.since)
        return {
            **self.seen.figures(),
            "requests_per_minute": round(self.used / measured, 1),
            "settled_per_minute": round(self.settled / measured, 1),
            "factor": round(self.factors / measured, 2),
        }


def compare(name: str, open_orders: int, budget: int, seed: int, asks: int) -> Figures:
    """Return the figures of one case; `asks` bounds the work."""
    world = World(name, open_orders, seed)
    requests = max(int(0.9 * budget), 1)  # a tenth is kept for the other kinds of round
    case: Figures = {"population": name, "open": open_orders, "budget": budget}
    case["bought_per_minute"] = round(world.per_minute, 1)
    if requests * BATCH < FEWEST_ASKS * world.per_minute:
        share = requests * BATCH / world.per_minute
        return {**case, "skipped": f"the budget allows {share:.1f} asks per order bought, too few for any policy"}
    minutes = int(min(max(asks / (requests * BATCH), 8 * open_orders / (requests * BATCH), 180), 3000))
    world.run_until(minutes)
    rule = Ruled(world, requests, minutes, minutes // 2).run()
    turn = in_turn(world, requests, minutes, minutes // 2, rule["settled_per_minute"])
    turn["requests_per_minute"] = requests
    ratios = {
        f"{what}_{figure}": round(turn[what][figure] / rule[what][figure], 2)
        for what in ("start", "end")
        for figure in ("mean", "p95")
    }
    return {**case, "minutes": minutes, "in_turn": turn, "rule": rule, "times_sooner": ratios}


def cost() -> float:
    """Return the microseconds that one call of `pace.interval` takes for a delivering order."""
    now, pacing = EPOCH + timedelta(hours=3), pace.Pacing()
    order = known("in_progress", EPOCH, 1000, now - timedelta(minutes=2), 400)
    began = time.perf_counter()
    for _ in range(100_000):
        pace.interval(order, now, pacing, 0.5)
    return round((time.perf_counter() - began) * 10, 2)


def main() -> None:
    """Print the figures of all cases, or of those that the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--quick", action="store_true", help="fewer cases, less virtual time (about 20 s)")
    parser.add_argument("--population", choices=POPULATIONS)
    parser.add_argument("--open", type=int, help="open orders")
    parser.add_argument("--budget", type=int, help="requests a minute")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    sizes = [("mixed", 10_000), ("mixed", 30_000), ("mixed", 100_000), ("quick", 30_000), ("long", 30_000)]
    budgets: Sequence[int] = (5, 15, 30, 60, 120)
    if asked.quick:
        sizes, budgets = [("mixed", 10_000), ("quick", 10_000), ("long", 10_000)], (5, 15, 30)
    if asked.population or asked.open:
        sizes = [(asked.population or "mixed", asked.open or 30_000)]
    print(json.dumps({"microseconds_per_call": cost(), "seed": asked.seed}), flush=True)
    for name, open_orders in sizes:
        for budget in (asked.budget,) if asked.budget else budgets:
            case = compare(name, open_orders, budget, asked.seed, 150_000 if asked.quick else 500_000)
            print(json.dumps(case), flush=True)
            print(sentence(case), file=sys.stderr, flush=True)


def sentence(case: Figures) -> str:
    """Return one case for a person."""
    head = f"{case['population']:5} {case['open']:7} open {case['budget']:4}/min:"
    if "skipped" in case:
        return f"{head} skipped, {case['skipped']}"
    turn, rule, ratios = case["in_turn"], case["rule"], case["times_sooner"]
    return "{} ends {:6.2f} -> {:5.2f} min ({:.1f}x, p95 {:.1f}x), starts {:6.2f} -> {:5.2f} ({:.1f}x)".format(
        head, turn["end"]["mean"], rule["end"]["mean"], ratios["end_mean"], ratios["end_p95"],
        turn["start"]["mean"], rule["start"]["mean"], ratios["start_mean"],
    )  # fmt: skip


if __name__ == "__main__":
    main()
