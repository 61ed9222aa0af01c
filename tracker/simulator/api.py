"""The actions of API v2: a form in, the panel's value out, in the world's facts and the dialect's words."""

from collections.abc import Callable, Mapping
from typing import NamedTuple
from zlib import crc32

from tracker.errors import Refused
from tracker.model import BATCH
from tracker.simulator import dialects
from tracker.simulator.dialects import Dialect, Json, wire_id
from tracker.simulator.world import World


class Told(NamedTuple):
    """One item of a reply, for the record of what was served; `item` is the very object inside of the reply."""

    key: str
    """The order's id, or `refill/` and the refill's."""
    item: Json


class Reply(NamedTuple):
    """What the panel says, before any fault bends it."""

    code: int
    value: object
    told: list[Told]


class Api:
    """One panel: an account, a dialect and a key."""

    def __init__(self, world: World, dialect: Dialect, key: str) -> None:
        self._world = world
        self._dialect = dialect
        self._key = key
        self._actions: Mapping[str, Callable[[Mapping[str, str]], tuple[object, list[Told]]]] = {
            "services": self._services,
            "add": self._add,
            "status": self._status,
            "refill": self._refill,
            "refill_status": self._refill_status,
            "cancel": self._cancel,
            "balance": self._balance,
        }

    def answer(self, form: Mapping[str, str]) -> Reply:
        """Do what the form asks and return what the panel says to it."""
        try:
            if form.get("key") != self._key:
                raise Refused("Invalid API key")  # noqa: TRY301 - every refusal takes the same way out
            action = self._actions.get(form.get("action", ""))
            if action is None:
                raise Refused("Incorrect request")  # noqa: TRY301
            value, told = action(form)
        except Refused as refused:
            return self.refuse(refused.text)
        return Reply(200, value, told)

    def refuse(self, text: str) -> Reply:
        """Return the refusal of a whole request."""
        code, value = dialects.refusal(self._dialect, text)
        return Reply(code, value, [])

    def _services(self, _form: Mapping[str, str]) -> tuple[object, list[Told]]:
        return dialects.catalog_rows(self._dialect, self._world.services()), []

    def _balance(self, _form: Mapping[str, str]) -> tuple[object, list[Told]]:
        balance = dialects.figure(self._dialect, self._world.balance())
        return {"balance": balance, "currency": self._world.currency}, []

    def _add(self, form: Mapping[str, str]) -> tuple[object, list[Told]]:
        order_id = self._world.place(form.get("service", ""), form.get("link", ""), form.get("quantity", ""), form)
        if self._dialect.add == "success":
            return {"status": "success", "order": order_id}, []
        return {"order": wire_id(order_id)}, []

    def _status(self, form: Mapping[str, str]) -> tuple[object, list[Told]]:
        if "orders" in form and self._dialect.bulk:
            ids = self._ids(form["orders"])
            if len(ids) == 1 and self._dialect.flat_single:
                return self._one_status(ids[0])
            return self._many_statuses(ids)
        if "order" not in form:
            raise Refused("Missing order parameter")
        return self._one_status(form["order"].strip())

    def _one_status(self, order_id: str) -> tuple[object, list[Told]]:
        look = self._world.look(order_id)
        if look is None:
            if self._dialect.nested_error:
                return {order_id: self._item_error("Incorrect order ID")}, []
            raise Refused("Incorrect order ID")
        item = dialects.status_item(self._dialect, look, self._world.currency)
        return item, [Told(order_id, item)]

    def _many_statuses(self, ids: list[str]) -> tuple[object, list[Told]]:
        value: Json = {}
        told = []
        for place, order_id in enumerate(ids):
            # Past the limit only the dialects that do not refuse get here.
            look = self._world.look(order_id) if place < BATCH else None
            if look is not None:
                item = dialects.status_item(self._dialect, look, self._world.currency)
                value[order_id] = item
                told.append(Told(order_id, item))
            elif (self._dialect.unknown == "error") if place < BATCH else self._dialect.beyond == "false_error":
                value[order_id] = self._item_error("Incorrect order ID")
        # PHP writes an empty map as a list.
        return value or [], told

    def _refill(self, form: Mapping[str, str]) -> tuple[object, list[Told]]:
        if "orders" in form and self._dialect.bulk:
            ids = self._ids(form["orders"])
            return [self._item("order", order_id, "refill", self._ask_refill) for order_id in ids], []
        if "order" not in form:
            raise Refused("Missing order parameter")
        refill = self._ask_refill(form["order"].strip())
        return {"refill": refill if self._dialect.refill == "yes" else str(refill)}, []

    def _ask_refill(self, order_id: str) -> object:
        refill_id = self._world.refill(order_id)
        shown = {"own_id": refill_id, "order_id": order_id, "yes": "1"}[self._dialect.refill]
        return wire_id(shown)

    def _refill_status(self, form: Mapping[str, str]) -> tuple[object, list[Told]]:
        if "refills" in form and self._dialect.bulk:
            return self._many_refills(self._ids(form["refills"]))
        refill_id = form.get("refill", "").strip()
        item: Json = {"status": self._refill_word(refill_id)}
        return item, [Told(f"refill/{refill_id}", item)]

    def _many_refills(self, ids: list[str]) -> tuple[object, list[Told]]:
        items = [self._item("refill", refill_id, "status", self._refill_word) for refill_id in ids]
        found = [
            (refill_id, item)
            for refill_id, item in zip(ids, items, strict=True)
            if isinstance(item.get("status"), str)
        ]
        if self._dialect.unknown != "error":
            items = [item for _, item in found]
        return items, [Told(f"refill/{refill_id}", item) for refill_id, item in found]

    def _refill_word(self, refill_id: str) -> str:
        own = {"own_id": refill_id, "order_id": self._world.refill_of(refill_id), "yes": None}
        status = self._world.refill_word(own[self._dialect.refill] or "")
        if status is None:
            raise Refused("Incorrect refill ID")
        return dialects.word(self._dialect, status)

    def _cancel(self, form: Mapping[str, str]) -> tuple[object, list[Told]]:
        if "orders" in form and self._dialect.bulk:
            ids = self._ids(form["orders"])
            return [self._item("order", order_id, "cancel", self._ask_cancel) for order_id in ids], []
        if "order" not in form:
            raise Refused("Missing order parameter")
        ticket = self._ask_cancel(form["order"].strip())
        sentence = {"success": "We will attempt to cancel this order."}
        return {"status": {"status": "ok"}, "sentence": sentence}.get(self._dialect.cancel, {"cancel": ticket}), []

    def _ask_cancel(self, order_id: str) -> object:
        self._world.cancel(order_id)
        return 1000 + crc32(order_id.encode()) % 100_000 if self._dialect.cancel == "ticket" else 1

    def _item(self, name: str, asked: str, result: str, ask: Callable[[str], object]) -> Json:
        """Ask for one id of several; a refusal of one is an item, not the end of the request."""
        try:
            return {name: wire_id(asked), result: ask(asked)}
        except Refused as refused:
            error = self._item_error(refused.text)
        return {name: wire_id(asked), **(error if self._dialect.error_beside else {result: error})}

    def _item_error(self, text: str) -> Json:
        return {"error": self._dialect.texts.get(text, text)}

    def _ids(self, text: str) -> list[str]:
        """Return the ids of a bulk request; what is done about those past the 100th is the dialect's."""
        ids = list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
        if not ids or (len(ids) > BATCH and self._dialect.beyond == "refused"):
            raise Refused("Incorrect request")
        return ids
