"""Orders that an order has placed, such as the runs of a drip-feed: they are followed, and know their parent."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Update, exists, literal, select, update
from sqlalchemy.dialects import postgresql, sqlite

from tracker.store.bulk import RowSet
from tracker.store.schema import orders
from tracker.store.types import Text, Whole


class Children:
    """The statements about children, for one dialect."""

    def __init__(self, dialect: str) -> None:
        self._rows = RowSet(dialect, "children", parent=Whole, order_id=Text)
        self._follow = self._follow_new(dialect)
        self._adopt = self._adopt_known()

    def write(self, connection: Connection, told: Sequence[tuple[int, str]]) -> None:
        """Follow `told`, keys of parents with ids of children, inside the transaction of `connection`."""
        if told:
            rows = self._rows.parameters(told)
            connection.execute(self._follow, rows)
            connection.execute(self._adopt, rows)

    def _follow_new(self, dialect: str) -> Any:  # noqa: ANN401  # an INSERT of either dialect
        upsert = postgresql.insert if dialect == "postgresql" else sqlite.insert
        parents = orders.alias("parents")
        rows = (
            select(parents.c.panel, self._rows.c.order_id, parents.c.id)
            .join_from(self._rows.table, parents, parents.c.id == self._rows.c.parent)
            .where(literal(True))  # SQLite reads "… JOIN … ON CONFLICT" as a join condition without a WHERE
        )
        statement = upsert(orders).from_select(["panel", "order_id", "parent"], rows)
        return statement.on_conflict_do_nothing(index_elements=[orders.c.panel, orders.c.order_id])

    def _adopt_known(self) -> Update:
        """Give their parent to those that were followed before it: else their money would count beside its own.

        One that has children itself, or whose parent another one claims now, stays as it is: so nobody becomes
        their own ancestor.
        """
        parents, own = orders.alias("parents"), orders.alias("own")
        claimed = self._rows.table.alias("claimed")
        return (
            update(orders)
            .values(parent=parents.c.id)
            .where(
                parents.c.id == self._rows.c.parent,
                orders.c.panel == parents.c.panel,
                orders.c.order_id == self._rows.c.order_id,
                orders.c.parent.is_(None),
                orders.c.id != parents.c.id,
                ~exists().where(claimed.c.order_id == parents.c.order_id, claimed.c.parent != parents.c.id),
                ~exists().where(own.c.parent == orders.c.id),
            )
        )
