"""What the tests of the commands that act share: a panel, a folder to type in, and what the panel was sent."""

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from cli_setting import KEY, Typed, configure, plain, sql, typist
from sqlalchemy import text

from tracker.model import Service
from tracker.simulator import ManualClock, Simulator

LINK = "https://example.com/p/1"


class Desk:
    """A person at a command line, and the panel at the other end."""

    def __init__(self, panel: Simulator, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.panel = panel
        self.folder = folder
        self.url = f"sqlite:///{folder}/tracker.db"
        self.config = configure(folder, {"acme": panel.url}, self.url, every="1h")
        self._type = typist(capsys)

    def type(self, line: str) -> Typed:
        """Type a line: exit code, stdout, stderr. Whatever it was, the key is in neither."""
        code, out, err = self._type(f"{line} --config {self.config}")
        assert KEY not in out + err
        return code, out, err

    def json(self, line: str, code: int = 0) -> Any:  # noqa: ANN401  # of any shape
        """Type a line with --json; return what it prints."""
        ended, out, err = self.type(f"{line} --json")
        assert ended == code, err
        return json.loads(out)

    def service(self, type_: str = "Default", **flags: bool) -> Service:
        """Return a service of a type, and with these of its columns, that is cheap."""
        sold = [one for one in self.panel.world.services() if one.type == type_]
        fitting = [one for one in sold if all(getattr(one, name) == flag for name, flag in flags.items())]
        return min(fitting, key=lambda one: (one.rate or 0) * (one.min or 1))

    def order(self, link: str = LINK, **flags: bool) -> str:
        """Return what orders the least of an ordinary service."""
        service = self.service("Default", **flags)
        return f"add {service.service_id} --link {link} --quantity {service.min} --yes"

    def placed(self, word: str | None = None, **flags: bool) -> str:
        """Return an order that was placed by hand and is followed; at once in the state that is `word`."""
        service = self.service("Default", **flags)
        order_id = self.panel.world.place(service.service_id, LINK, service.min or 1)
        assert self.type(f"track --panel acme {order_id} --service {service.service_id}")[0] == 0
        if word is not None:
            sql(self.url, "UPDATE orders SET state = :word WHERE order_id = :id", word=word, id=order_id)
        return order_id

    def know_catalog(self) -> None:
        """Put the panel's catalog into the history, as polling would."""
        at = {"panel": "acme", "seen": "2026-01-01 00:00:00"}
        rows = [{**one._asdict(), "rate": str(one.rate), **at} for one in self.panel.world.services()]
        names = ", ".join(Service._fields)
        values = ", ".join(f":{name}" for name in Service._fields)
        with plain(self.url) as connection:
            connection.execute(
                text(
                    f"INSERT INTO services (panel, {names}, first_seen_at, last_seen_at) "
                    f"VALUES (:panel, {values}, :seen, :seen)"
                ),
                rows,
            )

    def sent(self, action: str) -> int:
        """Return how many requests of a changing action arrived."""
        return self.panel.counts[action]

    def rows(self, statement: str, **values: object) -> Sequence[Any]:
        """Return what SQL says of the history."""
        return sql(self.url, statement, **values)

    def states(self) -> Mapping[str, str]:
        """Return the state of every intent by its link."""
        return dict(tuple(row) for row in self.rows("SELECT coalesce(link, uuid), state FROM intents"))


def desk_at(
    panel: Simulator, folder: Path, migrated_file: Path, capsys: pytest.CaptureFixture[str]
) -> Iterator[Desk]:
    """Sit down before a panel that is served meanwhile, with an empty history."""
    shutil.copy(migrated_file, folder / "tracker.db")
    with panel:
        panel.world.spawn(1)  # the owner tops up
        yield Desk(panel, folder, capsys)


def simulator(**how: Any) -> Simulator:  # noqa: ANN401  # as the simulator takes it
    """Return a panel in which time stands still."""
    return Simulator(key=KEY, seed=3, clock=ManualClock(), **how)
