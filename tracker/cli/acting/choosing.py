"""Choosing orders by conditions as people type them: `--where state=completed --where service=412,413`."""

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Any, Final

from tracker.cli.quantities import span_of
from tracker.errors import UsageFault
from tracker.model import STATES, OrderFilter

_SEVERAL: Final = {"state": "states", "service": "services", "ref": "refs"}
"""Conditions that take several values, with commas or given again, of which one must hold."""

_ONE: Final[dict[str, Callable[[str], Any]]] = {"link": str, "panel": str, "silent": span_of}
"""Conditions that hold once, and what reads their value."""

NAMES: Final = (*_SEVERAL, *_ONE)


def filter_of(conditions: Sequence[str], panel: str | None) -> OrderFilter:
    """Return which orders are meant. Raises `UsageFault` for a condition that cannot be read."""
    several: dict[str, Any] = {}
    one: dict[str, Any] = {} if panel is None else {"panel": panel}
    for condition in conditions:
        name, equals, value = (part.strip() for part in condition.partition("="))
        if not (equals and value and name in NAMES):
            raise UsageFault(_unreadable(condition, name))
        if name in _SEVERAL:
            values = [part.strip() for part in value.split(",") if part.strip()]
            if not values:  # no value would be no condition: all orders
                raise UsageFault(_unreadable(condition, name))
            several.setdefault(_SEVERAL[name], []).extend(values)
        elif name in one:
            raise UsageFault(f"The {name} was given twice, and an order has one.")
        else:
            one[name] = _read(name, value)
    _require_states(several.get("states", ()))
    return OrderFilter(**several, **one)


def _unreadable(condition: str, name: str) -> str:
    near = get_close_matches(name, NAMES, n=1)
    hint = f" Did you mean {near[0]}=…?" if near and name not in NAMES else ""
    return f"--where {condition!r} is not like name=value with one of {', '.join(NAMES)}.{hint}"


def _read(name: str, value: str) -> object:
    try:
        return _ONE[name](value)
    except ValueError as error:
        raise UsageFault(f"--where {name}: {error}") from None


def _require_states(states: Sequence[str]) -> None:
    for state in states:
        if state not in STATES:
            near = get_close_matches(state, STATES, n=1)
            hint = f"Did you mean {near[0]}?" if near else f"There are: {', '.join(STATES)}."
            raise UsageFault(f"--where state: no order has the state {state!r}. {hint}")
