"""Several terminals act at once: what should be bought is bought, and nothing else, on SQLite and on Postgres."""

import shlex
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest
from cli_setting import KEY, configure, sql
from simulation import until
from terminal import Terminal

from tracker.simulator import ManualClock, Simulator
from tracker.simulator.listener import Sending


class Gated(Simulator):
    """A panel that answers no `add` before it may: until then every order that arrived is under way."""

    def __init__(self) -> None:
        super().__init__(key=KEY, seed=3, clock=ManualClock())
        self.may_answer = threading.Event()

    def handle(self, method: str, path: str, form: Mapping[str, str]) -> Sending:
        if form.get("action") == "add":
            self._note("arrived", form)
            assert self.may_answer.wait(60)
        return super().handle(method, path, form)


@pytest.fixture
def panel() -> Iterator[Gated]:
    with Gated() as panel:
        panel.world.spawn(1)  # the owner tops up
        yield panel
        panel.may_answer.set()


@pytest.mark.usefixtures("database")
def test_terminals_that_act_at_once_buy_what_should_be_bought(
    panel: Gated, database_url: str, tmp_path: Path
) -> None:
    config = configure(tmp_path, {"acme": panel.url}, database_url)
    service = next(one for one in panel.world.services() if one.type == "Default")
    known = set(panel.world.order_ids())
    typed = {
        "the same reference": ["--link https://x.example/1 --ref mine", "--link https://x.example/2 --ref mine"],
        "the same link": ["--link https://x.example/3", "--link https://x.example/3"],
        "another link": ["--link https://x.example/4"],
    }
    common = f"add {service.service_id} --quantity {service.min} --config {config}"
    with ExitStack() as stack:
        at = {
            name: [stack.enter_context(Terminal(shlex.split(f"{common} {line}"), 150)) for line in lines]
            for name, lines in typed.items()
        }
        terminals = [terminal for some in at.values() for terminal in some]
        for terminal in terminals:
            terminal.until("Send this order? [y/N]:")
        for terminal in terminals:
            terminal.press("y\r")
        until(lambda: sum(one.process.poll() is not None for one in terminals) == 2, "two are refused")
        until(lambda: panel.counts["arrived"] == 3, "three orders are under way")
        panel.may_answer.set()
        codes = {name: sorted(terminal.ended() for terminal in some) for name, some in at.items()}
        shown = ["\n".join(terminal.everything()) for terminal in terminals]
    assert codes == {"the same reference": [0, 1], "the same link": [0, 1], "another link": [0]}
    assert sum("the reference mine is taken" in one for one in shown) == 1
    assert sum("by another process and has no answer yet" in one for one in shown) == 1
    assert panel.counts["add"] == 3
    bought = set(panel.world.order_ids()) - known
    assert {row.order_id for row in sql(database_url, "SELECT order_id FROM orders")} == bought
    intents = sql(database_url, "SELECT state, order_id FROM intents")
    assert {row.state for row in intents} == {"confirmed"}
    assert sorted(row.order_id for row in intents) == sorted(bought)
