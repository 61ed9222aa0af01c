"""`tracker untrack`, and `tracker track` of what was untracked."""

from pathlib import Path

import pytest
from cli_setting import KEY, Type, configure, sql, typed_here, typist

from tracker.simulator import Simulator

SAID = "acme/2: not followed from now on (last seen new)"


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/tracker.db"


@pytest.fixture
def type_(tmp_path: Path, url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Type:
    """Type a command where orders 1 and 2 of acme and order 1 of beta are followed."""
    configure(tmp_path, dict.fromkeys(("acme", "beta"), "http://127.0.0.1:9/api/v2"), url)
    monkeypatch.chdir(tmp_path)
    assert typed_here("track", "--panel", "acme", "1", "2") == 0
    assert typed_here("track", "--panel", "beta", "1") == 0
    return typist(capsys)


def test_an_order_is_not_followed_any_more_and_its_history_stays(type_: Type, url: str) -> None:
    assert type_("track --panel acme 2 --refill 7")[0] == 0
    assert type_("untrack 2") == (0, f"{SAID}, nor 1 refill of it\n", "")
    assert type_("untrack acme/2") == (0, "acme/2: was not followed any more\n", "")
    assert sql(url, "SELECT count(*), count(closed_at) FROM orders") == [(3, 1)]
    code, out, _ = type_("show 2")
    assert (code, "Order acme/2" in out) == (0, True)
    code, _, err = type_("poll 2")
    assert (code, "`tracker track` opens it again" in err) == (0, True)


def test_tracking_follows_it_again_and_says_so(type_: Type, url: str) -> None:
    assert type_("untrack 2")[0] == 0
    said = type_("track --panel acme 2 3 --runs 5 --interval 30")
    assert said == (0, "acme/2: was closed, followed again from now on\nacme/3: followed from now on\n", "")
    assert sql(url, "SELECT count(closed_at) FROM orders") == [(0,)]
    assert sql(url, "SELECT runs, interval FROM orders WHERE order_id IN ('2', '3')") == [(5, 30), (5, 30)]
    assert type_("track --panel acme 2") == (0, "acme/2: was tracked before\n", "")


def test_an_order_is_named_as_everywhere_and_one_wrong_name_ends_it_before_anything_is_done(
    type_: Type, url: str
) -> None:
    code, out, err = type_("untrack 2 1")
    assert (code, out) == (2, "")
    assert "say acme/1 or beta/1" in err
    code, _, err = type_("untrack 2 nobody")
    assert (code, "No order nobody is known" in err) == (1, True)
    assert sql(url, "SELECT count(closed_at) FROM orders") == [(0,)]
    assert type_("untrack 2 1 --panel acme")[0] == 0
    assert sql(url, "SELECT panel FROM orders WHERE closed_at IS NULL") == [("beta",)]


def test_children_that_are_still_followed_are_counted(type_: Type, url: str) -> None:
    sql(url, "UPDATE orders SET parent = (SELECT id FROM orders WHERE order_id = '2') WHERE order_id = '1'")
    code, out, _ = type_("untrack 2")
    assert (code, out) == (0, f"{SAID}; 2 orders that it placed still are\n")


def test_a_panel_is_not_asked_about_it_any_more(
    tmp_path: Path, url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with Simulator(key=KEY, seed=3) as panel:
        configure(tmp_path, {"acme": panel.url}, url)
        ids = [placed.order_id for placed in panel.world.spawn(3)]
        assert typed_here("track", "--panel", "acme", *ids) == 0
        assert typed_here("untrack", ids[0]) == 0
        assert typed_here("poll", "statuses", "--all") == 0
        assert [row[0] for row in sql(url, "SELECT order_id FROM orders WHERE seq = 0")] == [ids[0]]
        assert typed_here("track", "--panel", "acme", ids[0]) == 0
        assert typed_here("poll", "statuses") == 0
    capsys.readouterr()
    assert sql(url, "SELECT count(*) FROM orders WHERE seq = 0") == [(0,)]


def test_texts_that_no_database_keeps_are_refused(type_: Type) -> None:
    code, _, err = type_("track --panel acme 9 --ordered-at 20261123")
    assert (code, "--ordered-at '20261123' is no time like" in err) == (2, True)
    code, _, err = type_("track --panel acme 9 --refill '1 2'")
    assert (code, "no comma, no space" in err) == (2, True)


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ("--service '4 1,2'", "--service '4 1,2' cannot be the id of a service"),
        (f"--ref {'r' * 201}", "longer than 200 characters"),
        ("--ordered-at 0001-01-01", "is no time like"),
    ],
)
def test_what_an_order_cannot_have_is_not_written(type_: Type, url: str, option: str, told: str) -> None:
    code, _, err = type_(f"track --panel acme 9 {option}")
    assert (code, told in err) == (2, True)
    assert sql(url, "SELECT count(*) FROM orders WHERE order_id = '9'") == [(0,)]
