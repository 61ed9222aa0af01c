"""`tracker add`: what is bought, what is not, and what a person reads about it."""

import json
import shlex
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from acting_setting import LINK, Desk, desk_at, simulator
from cli_setting import KEY, TRACKER, configure, typist
from raw_panel import RawPanel, ok
from simulation import PATIENCE, until
from terminal import Terminal
from warm import Warm

from tracker.actions import FORMS, LISTS
from tracker.cli.acting.wishes import FIELDS
from tracker.simulator import DIALECT_NAMES
from tracker.simulator.catalog import TYPES

OF_TYPE = {
    "Package": "--link {link}",
    "Custom Comments": "--link {link} --comments {lines}",
    "Mentions Hashtag": "--link {link} --quantity {min} --hashtag cats",
    "Poll": "--link {link} --quantity {min} --answer-number 2",
    "Comment Replies": "--link {link} --username ann --comments {lines}",
    "Invites from Groups": "--link {link} --quantity {min} --groups one --groups two",
    "SEO": "--link {link} --quantity {min} --keywords 'red cat' --keywords dog",
    "Web Traffic": "--link {link} --quantity {min} --country US --device 1 --type-of-traffic 3",
    "Subscriptions": "--username ann --min {min} --max {min} --posts 1",
    "Default": "--link {link} --quantity {min} --runs 2 --interval 30",
}


@pytest.fixture
def desk(tmp_path: Path, migrated_file: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Desk]:
    yield from desk_at(simulator(), tmp_path, migrated_file, capsys)


def test_an_order_is_bought_once_and_followed_from_its_first_second(desk: Desk) -> None:
    service = desk.service()
    before = desk.panel.world.balance()
    code, out, err = desk.type(f"{desk.order()} --ref shop-7")
    order_id = out.strip()
    assert code == 0
    assert desk.sent("add") == 1
    assert desk.panel.world.look(order_id) is not None
    ((ref, service_id, link, quantity, state, ordered_at),) = desk.rows(
        "SELECT ref, service_id, link, quantity, state, ordered_at FROM orders WHERE order_id = :id", id=order_id
    )
    assert (ref, service_id, link, quantity, state) == ("shop-7", service.service_id, LINK, service.min, "new")
    assert ordered_at is not None
    assert service.rate is not None
    price = service.rate * (service.min or 1) / 1000
    for told in (f"acme/{order_id}", service.name, f"{price:f}".rstrip("0"), f"{before:f}", f"{before - price:f}"):
        assert told.rstrip("0") in err


@pytest.mark.parametrize("dialect", sorted({*DIALECT_NAMES} - {"empty-catalog"}))
def test_every_dialect_tells_which_order_was_bought(
    dialect: str, tmp_path: Path, migrated_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for desk in desk_at(simulator(dialect=dialect), tmp_path, migrated_file, capsys):
        known = set(desk.panel.world.order_ids())
        code, out, err = desk.type(desk.order())
        assert code == 0, err
        assert set(desk.panel.world.order_ids()) - known == {out.strip()}


@pytest.mark.parametrize("type_", sorted(set(TYPES)))
def test_every_type_of_service_can_be_ordered_by_its_options(desk: Desk, type_: str) -> None:
    service = desk.service(type_)
    lines = desk.folder / "lines.txt"
    lines.write_text("".join(f"comment {number}\r\n\n" for number in range(service.min or 1)))
    options = OF_TYPE[type_].format(link=LINK, min=service.min, lines=lines)
    code, out, err = desk.type(f"add {service.service_id} {options} --yes")
    assert code == 0, err
    assert desk.panel.world.look(out.strip()) is not None


def test_every_field_that_a_form_has_is_an_option(desk: Desk) -> None:
    known = {name for form in FORMS.values() for name in form.required | form.optional}
    assert set(FIELDS) == known
    assert set(LISTS) < known
    out = desk.type("add --help")[1]
    assert all(f"--{name.replace('_', '-')} " in out for name in known)


def test_comments_come_from_stdin_too(desk: Desk) -> None:
    service = desk.service("Custom Comments")
    command = [*TRACKER, "add", service.service_id, "--link", LINK, "--comments", "-", "--json", "--yes"]
    lines = "\ufeff" + "\n".join(["Привет"] * (service.min or 1))
    done = subprocess.run(
        [*command, "--config", str(desk.config)], input=lines.encode(), capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    intent = json.loads(done.stdout)
    assert intent["payload"]["comments"].split("\n") == ["Привет"] * (service.min or 1)
    assert intent["quantity"] == service.min


def test_what_only_this_panel_has_is_sent_as_given(desk: Desk) -> None:
    told = desk.json(f"{desk.order()} --dry-run --field speed=fast --field note=a=b")
    assert told["payload"] == told["payload"] | {"speed": "fast", "note": "a=b"}


def test_a_dry_run_shows_all_and_sends_and_writes_nothing(desk: Desk) -> None:
    told = desk.json(f"{desk.order()} --dry-run")
    assert told["state"] == "not_sent"
    assert told["payload"]["link"] == LINK
    assert told["price"] is not None
    assert told["balance_before"] is not None
    code, out, err = desk.type(f"{desk.order().removesuffix(' --yes')} --dry-run")
    assert (code, err) == (0, "")
    assert out.startswith("Nothing was sent.")
    assert desk.sent("add") == 0
    for table in ("intents", "orders", "services", "balance_snapshots"):
        assert desk.rows(f"SELECT * FROM {table}") == []


def test_where_nobody_can_be_asked_nothing_is_sent_without_yes(desk: Desk) -> None:
    code, out, err = desk.type(desk.order().removesuffix(" --yes"))
    assert (code, out) == (2, "")
    assert "--yes" in err
    assert not desk.panel.requests


@pytest.mark.parametrize(("answer", "code", "sent"), [("y\r", 0, 1), ("\r", 1, 0), (signal.SIGINT, 130, 0)])
def test_a_terminal_is_asked_after_it_saw_price_and_balance(
    desk: Desk, answer: str | signal.Signals, code: int, sent: int
) -> None:
    line = f"{desk.order().removesuffix(' --yes')} --config {desk.config}"
    with Terminal(shlex.split(line), 80, 24) as terminal:
        shown = "\n".join(terminal.until("Send this order? [y/N]:"))
        assert desk.service().name in shown
        assert "price" in shown
        assert "then left" in shown
        assert desk.sent("add") == 0
        if isinstance(answer, str):
            terminal.press(answer)
        else:  # what comes between the question and the reading of its answer is seen only after the answer
            waiting = psutil.Process(terminal.process.pid)
            until(lambda: waiting.status() == psutil.STATUS_SLEEPING, "it to wait for an answer")
            terminal.process.send_signal(answer)
        assert terminal.ended() == code
        assert ("Nothing was sent." in "\n".join(terminal.screen())) == (code != 0)
    assert desk.sent("add") == sent


def test_every_slip_is_told_at_once_and_costs_nothing(desk: Desk) -> None:
    service = desk.service()
    code, out, err = desk.type(f"add {service.service_id} --quantity {service.min}0.5 --hashtag x --runs 2 --yes")
    assert (code, out) == (2, "")
    for slip in ("link is missing", "quantity", "takes no hashtag", "runs goes together with interval"):
        assert slip in err
    assert desk.sent("add") == 0


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("add 1 --comments /nowhere/at/all --yes", "/nowhere/at/all cannot be read"),
        ("add 1 --field fast --yes", "is not like name=value"),
        ("add 1 --field a=1 --field a=2 --yes", "given twice"),
        ("add 999 --link x --quantity 1 --yes", "no service 999"),
    ],
)
def test_what_cannot_be_meant_is_a_sentence(desk: Desk, line: str, told: str) -> None:
    code, out, err = desk.type(line)
    assert (code, out) == (2, "")
    assert told in err
    assert desk.sent("add") == 0


def test_of_two_panels_one_must_be_named(
    desk: Desk, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path_factory.mktemp("two")
    config = configure(other, {"acme": desk.panel.url, "beta": desk.panel.url}, desk.url)
    type_ = typist(capsys)
    code, _, err = type_(f"{desk.order()} --config {config}")
    assert (code, "acme, beta" in err) == (2, True)
    assert type_(f"{desk.order()} --panel beta --config {config}")[0] == 0
    assert desk.rows("SELECT panel FROM orders") == [("beta",)]
    assert type_(f"{desk.order()} --panel bta --config {config}")[0] == 78


@pytest.mark.parametrize(
    ("fault", "code", "state"),
    [
        ("bad-key", 4, "rejected"),
        ("rate-limit-429", 1, "rejected"),
        ("http-500-html", 6, "unknown"),
        ("cloudflare-520", 6, "unknown"),
        ("not-json", 6, "unknown"),
        ("nulls", 6, "unknown"),
        ("truncated", 6, "unknown"),
        ("reset-before", 6, "unknown"),
    ],
)
def test_the_exit_code_and_json_tell_what_became_of_it(desk: Desk, fault: str, code: int, state: str) -> None:
    desk.panel.misbehave(fault, action="add", times=1)
    intent = desk.json(desk.order(), code)
    assert (intent["state"], intent["action"], intent["link"]) == (state, "add", LINK)
    assert intent["error"]
    assert desk.rows("SELECT uuid, state FROM intents") == [(intent["uuid"], state)]
    assert desk.sent("add") == 1


def test_words_of_the_panel_stand_beside_a_sentence(desk: Desk) -> None:
    desk.panel.world._ledger.balance *= 0
    code, out, err = desk.type(desk.order())
    assert (code, out) == (1, "")
    assert "top it up" in err
    assert "neworder.error.not_enough_funds" in err


def test_a_panel_that_is_away_is_exit_code_5_and_nothing_was_sent(desk: Desk) -> None:
    assert desk.type("poll catalog")[0] == 0
    line = desk.order()
    desk.panel._listener.end()
    intent = desk.json(line, 5)
    assert intent["state"] == "unsent"
    assert "Nothing was sent" in desk.type(line)[2]


def test_a_database_that_is_away_keeps_the_order_from_being_sent(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    line = desk.order()
    configure(desk.folder, {"acme": desk.panel.url}, "postgresql+psycopg://127.0.0.1:1/nowhere")
    code, out, _ = typist(capsys)(f"{line} --config {desk.config}")
    assert (code, out) == (10, "")
    assert desk.sent("add") == 0


def test_an_unknown_one_stands_in_the_way_of_its_like_until_somebody_says_otherwise(desk: Desk) -> None:
    desk.panel.misbehave("truncated", action="add", times=1)
    lost = desk.json(desk.order(), 6)
    blocked = desk.json(desk.order(), 1)
    assert blocked["state"] == "blocked"
    assert blocked["blocked_by"]["uuid"] == lost["uuid"]
    assert f"tracker resolve {lost['uuid']}" in blocked["error"]
    assert desk.sent("add") == 1
    assert desk.type(desk.order("https://example.com/p/2"))[0] == 0
    assert desk.type(f"{desk.order()} --despite-unknown")[0] == 0
    assert desk.sent("add") == 3
    assert "paid, twice" in " ".join(desk.type("add --help")[1].split())


def test_the_same_reference_buys_once_and_names_what_it_bought(desk: Desk) -> None:
    order_id = desk.type(f"{desk.order()} --ref shop-7")[1].strip()
    code, out, err = desk.type(f"{desk.order('https://example.com/p/2')} --ref shop-7")
    assert (code, out) == (1, "")
    assert f"acme/{order_id}" in err
    told = desk.json(f"{desk.order()} --ref shop-7", 1)
    assert told["blocked_by"]["order_id"] == order_id
    assert desk.sent("add") == 1


def test_the_word_of_the_panel_counts_where_nothing_is_checked(desk: Desk) -> None:
    assert desk.type("add 999 --link x --quantity 1 --no-check --yes")[0] == 1
    assert desk.sent("add") == 1


def test_a_signal_lets_the_request_go_and_writes_that_nobody_knows(desk: Desk) -> None:
    desk.panel.misbehave("stall", action="add")
    arguments = [*shlex.split(desk.order()), "--json", "--config", str(desk.config)]
    with Warm(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        until(lambda: desk.sent("add") == 1, "the order has arrived")
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(PATIENCE)
    assert process.returncode == 6
    assert json.loads(out)["state"] == "unknown"
    assert "tracker resolve" in err
    assert list(desk.states().values()) == ["unknown"]


def test_no_text_of_a_panel_reaches_the_terminal_raw(
    tmp_path: Path, migrated_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evil = "Bad \x1b[31mlink\u202e \x07"
    answers: dict[str, Callable[[], object]] = {
        "services": lambda: [
            {"service": 1, "name": f"Cats {evil}", "type": "Default", "rate": "1", "min": 1, "max": 9}
        ],
        "balance": lambda: {"balance": "5", "currency": "USD"},
        "add": lambda: {"error": f"{evil} {KEY}"},
    }
    (tmp_path / "tracker.db").write_bytes(migrated_file.read_bytes())
    with RawPanel(lambda asked: ok(answers[asked.fields["action"]]())) as panel:
        config = configure(tmp_path, {"acme": panel.url}, f"sqlite:///{tmp_path}/tracker.db")
        type_ = typist(capsys)
        for form in ("", "--json"):
            code, out, err = type_(f"add 1 --link {LINK} --quantity 5 --yes {form} --config {config}")
            assert code == 1
            assert not {"\x1b", "\u202e", "\x07"} & set(out + err)
            assert KEY not in out + err


@pytest.mark.parametrize("form", ["", "--json"])
def test_what_was_bought_but_cannot_be_printed_is_not_called_refused(desk: Desk, form: str) -> None:
    arguments = [*shlex.split(desk.order()), *form.split(), "--config", str(desk.config)]
    with Path("/dev/full").open("w") as full, Warm(arguments, stdout=full, stderr=subprocess.PIPE) as process:
        _, told = process.communicate(PATIENCE)
    ((order_id,),) = desk.rows("SELECT order_id FROM orders")
    assert (process.returncode, desk.sent("add")) == (3, 1)
    assert f"order acme/{order_id} was placed, but this could not be printed: No space left" in told


def test_an_outcome_that_nobody_knows_keeps_its_exit_code_on_a_full_disk(desk: Desk) -> None:
    desk.panel.misbehave("truncated", action="add", times=1)
    arguments = [*shlex.split(desk.order()), "--json", "--config", str(desk.config)]
    with Path("/dev/full").open("w") as full, Warm(arguments, stdout=full, stderr=full) as process:
        process.wait(PATIENCE)
    assert (process.returncode, set(desk.states().values())) == (6, {"unknown"})


def test_a_list_that_no_panel_takes_is_not_read_to_its_end(desk: Desk) -> None:
    code, _, err = desk.type(f"add 1 --link {LINK} --comments /dev/zero --yes")
    assert (code, "holds more than 8,388,608 bytes" in err) == (2, True)


def test_stdin_is_given_to_one_list_only(desk: Desk) -> None:
    code, _, err = desk.type(f"add 1 --link {LINK} --comments - --usernames - --yes")
    assert (code, "--comments and --usernames cannot both read stdin" in err) == (2, True)
