"""The corpus of replies under `data/`, and strategies that bend them further.

`data/<action>/expected.json` names each reply's file, what was asked, the HTTP status, and what must come of it: a
result, or `{"fault": <kind>}`.
"""

import json
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from tracker.model import NotFound, Odd, RefillStatus, Status
from tracker.panel import wire
from tracker.panel.faults import reply_value
from tracker.panel.listing import read_services

DATA = Path(__file__).parent / "data"
CHANGES = {"add", "refill", "cancel"}
_MANY = {
    "status": wire.read_statuses,
    "refill_status": wire.read_refill_statuses,
    "refill": wire.read_refills,
    "cancel": wire.read_cancels,
}
_ONE = {
    "add": wire.read_add,
    "refill": wire.read_refill,
    "cancel": wire.read_cancel,
    "balance": wire.read_balance,
    "services": read_services,
}


@dataclass(frozen=True)
class Reply:
    """One file of the corpus."""

    action: str
    name: str
    body: bytes = field(repr=False)
    want: Any = field(repr=False)
    asked: tuple[str, ...] = ()
    http: int = 200
    headers: dict[str, str] = field(default_factory=dict)

    def read(self, body: bytes | None = None, http: int | None = None) -> Any:  # noqa: ANN401 - of seven kinds
        """Read this reply, or another body in its place, as the client does."""
        value = reply_value(
            http or self.http,
            self.headers,
            self.body if body is None else body,
            changing=self.action in CHANGES,
        )
        if self.asked:
            return _MANY[self.action](value, self.asked)
        return _ONE[self.action](value)


def _load() -> list[Reply]:
    found = []
    for index in sorted(DATA.glob("*/expected.json")):
        folder = index.parent
        listed = json.loads(index.read_text(encoding="utf-8"))
        on_disk = {file.name for file in folder.iterdir()} - {index.name}
        assert set(listed) == on_disk, f"{folder.name}: listed and present differ: {set(listed) ^ on_disk}"
        for name, told in listed.items():
            found.append(
                Reply(
                    folder.name,
                    name,
                    (folder / name).read_bytes(),
                    told["want"],
                    tuple(told.get("asked", ())),
                    told.get("http", 200),
                    told.get("headers", {}),
                )
            )
    return found


CORPUS = _load()


def plain(result: Any) -> Any:  # noqa: ANN401 - the JSON form of any result
    """Return a result in the form in which `expected.json` tells it."""
    match result:
        case wire.Answers():
            return {asked: plain(answer) for asked, answer in result.items()}
        case Status() | RefillStatus():
            told = {name: plain(figure) for name, figure in result._asdict().items()}
            return {name: figure for name, figure in told.items() if figure not in (None, [])}
        case NotFound() | Odd():
            return {"not_found": result.text} if isinstance(result, NotFound) else {"odd": result.kind}
        case Decimal():
            return f"{result:f}"
        case tuple() | list():
            return [plain(part) for part in result]
        case _:
            return result


_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(
        ["", "0", "1", "abc", "-5", "1,234.50", "1e400", "9" * 30, "\x00", "\ud800", "Completed", "Error", "null"]
    )
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["error", "status", "order", "orders", "refill", "charge", "remains", "1", "2", "msg"])
            | st.text(max_size=5),
            inner,
            max_size=5,
        )
    ),
    max_leaves=8,
)


@st.composite
def bent_values(draw: st.DrawFn, value: Any) -> Any:  # noqa: ANN401 - JSON
    """Return a JSON value with a few keys dropped, doubled under another name, or given another type."""
    if isinstance(value, dict):
        bent = {}
        for key, inner in value.items():
            match draw(st.sampled_from("kkkkdxr")):
                case "k":
                    bent[key] = draw(bent_values(inner)) if isinstance(inner, dict | list) else inner
                case "x":
                    bent[key] = draw(_VALUES)
                case "r":
                    bent[draw(st.sampled_from(["1", "2", "9", "error", "status", "order", "x"]))] = inner
                case _:
                    pass
        return bent
    if isinstance(value, list):
        return [draw(bent_values(inner)) for inner in value if draw(st.integers(0, 5))]
    return draw(_VALUES) if not draw(st.integers(0, 5)) else value


@st.composite
def bent_replies(draw: st.DrawFn) -> tuple[Reply, bytes]:
    """Return a reply of the corpus and a bent body: its value bent, or its bytes cut and flipped."""
    reply = draw(st.sampled_from(CORPUS))
    body = reply.body
    try:
        value = json.loads(body)
    except ValueError:
        value = None
    if value is not None and draw(st.booleans()):
        body = json.dumps(draw(bent_values(value))).encode()
    if draw(st.integers(0, 2)) == 0:
        body = body[: draw(st.integers(0, len(body)))]
    for _ in range(draw(st.integers(0, 2))):
        if body:
            at = draw(st.integers(0, len(body) - 1))
            body = body[:at] + bytes([draw(st.integers(0, 255))]) + body[at + 1 :]
    return reply, body


any_value = _VALUES
