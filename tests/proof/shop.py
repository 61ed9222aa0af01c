"""A shop: it buys, follows, asks for refills, cancels, and changes its mind."""

from random import Random
from typing import Final

from sqlalchemy import select

from proof.station import Station
from tracker.errors import Refused
from tracker.store.schema import orders

ACTS: Final = ("bogus", "refill", "cancel", "untrack", "follow_again", "hurry")
"""What it does to one of its orders, each a method that takes which one."""


class Shop:
    """Acts on the panels and the database of a station. Which one of several is meant, an integer says."""

    def __init__(self, station: Station, random: Random) -> None:
        self.station, self.random = station, random
        self._bogus = 0
        self._refills = set[tuple[str, str]]()

    def buy(self, panel: str, count: int, oldest: float) -> None:
        """Place orders, up to `oldest` seconds ago, and have them followed by SQL or as a person would."""
        for placed in self.station.simulators[panel].world.spawn(count, oldest=oldest):
            if self.random.random() < 0.5:
                self.station.follow(panel, placed.order_id)
            else:
                self.station.insert(panel, placed.order_id)

    def bogus(self, place: int) -> None:
        """Follow an id that nobody placed."""
        panel = self._panel(place)
        self._bogus += 1
        order_id = f"no{self._bogus}"
        self.station.sound.follow_bogus(panel, order_id)
        self.station.insert(panel, order_id)

    def refill(self, place: int) -> None:
        """Ask the panel for a refill of a completed order, and have it followed."""
        if (found := self._known(place, "completed")) is None:
            return
        panel, order_id = found
        simulator = self.station.simulators[panel]
        try:
            refill_id = simulator.world.refill(order_id)
        except Refused:
            return
        shown = {"own_id": refill_id, "order_id": order_id, "yes": "1"}[simulator._dialect.refill]
        if (panel, shown) not in self._refills:  # or nobody could say which of two an answer was about
            self._refills.add((panel, shown))
            self.station.database.track_refill(panel, order_id, shown)
            self.station.counts["refills"] += 1

    def cancel(self, place: int) -> None:
        """Ask the panel to cancel an order that is delivered."""
        if (found := self._known(place, "in_progress")) is not None:
            try:
                self.station.simulators[found[0]].world.cancel(found[1])
            except Refused:
                return
            self.station.counts["cancels"] += 1

    def untrack(self, place: int) -> None:
        """End to follow an order."""
        if (found := self._known(place)) is not None:
            self.station.untrack(*found)

    def follow_again(self, place: int) -> None:
        """Follow an order again that was untracked, and perhaps pruned since."""
        if untracked := sorted(self.station.sound.untracked):
            self.station.follow(*untracked[place % len(untracked)])

    def hurry(self, place: int) -> None:
        """Want to know now."""
        self.station.database.make_due(self._panel(place))

    def _panel(self, place: int) -> str:
        panels = list(self.station.panels)
        return panels[place % len(panels)]

    def _known(self, place: int, state: str | None = None) -> tuple[str, str] | None:
        statement = select(orders.c.panel, orders.c.order_id).order_by(orders.c.id)
        if state is not None:
            statement = statement.where(orders.c.state == state)
        with self.station.engine.connect() as connection:
            found = connection.execute(statement).all()
        return (str(found[place % len(found)][0]), str(found[place % len(found)][1])) if found else None
