"""`tracker check` on its way to a panel: over real sockets and real TLS, whatever is wrong there."""

import socket
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from threading import Event

import pytest
import trustme
from raw_panel import Asked, RawPanel, ok
from transport_setting import SHORT, addresses, dead_port, held

from tracker.checks import Edge, Finding
from tracker.checks.outside import CHECKS, outside
from tracker.panel.backend import Address
from tracker.panel.probe import ahead, date_of, walk
from tracker.settings import PanelSettings, Secret
from tracker.simulator import Simulator

KEY = "k3y-planted-0f1e2d3c4b5a"
NOW = datetime.now(UTC)
DAY = timedelta(days=1)
AUTHORITY = trustme.CA()
"""Trusted by these tests alone."""

BALANCE = {"balance": "12.5", "currency": "USD"}
PAGE = b"<html><body>Just a moment</body></html>"


def look(url: str, *, allow_http: bool = False, edge: Edge | None = None) -> dict[str, Finding]:
    """Go the way to `url`; return the findings by check, and look that none of them tells the key."""
    trusting = ssl.create_default_context()
    AUTHORITY.configure_trust(trusting)
    panel = PanelSettings("acme", url, Secret(KEY), Path("/keys/acme.key"), allow_http=allow_http)
    found = list(outside(panel, NOW, edge or Edge(trusting)))
    assert [one.check for one in found] == list(CHECKS)
    assert KEY not in repr(found)
    assert all(one.remedy for one in found if one.result in {"failed", "warning"})
    return {one.check: one for one in found}


def results(found: dict[str, Finding]) -> list[str]:
    return [one.result for one in found.values()]


def tls_of(name: str = "127.0.0.1", since: timedelta = -DAY, until: timedelta = 90 * DAY) -> ssl.SSLContext:
    """Return a server's side with a certificate for `name`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert(name, not_before=NOW + since, not_after=NOW + until).configure_cert(context)
    return context


def told_at(moment: datetime) -> str:
    return f"date: {format_datetime(moment, usegmt=True)}\r\n"


def resolver(*found: Address) -> Callable[[str, int], list[Address]]:
    return lambda _host, _port: list(found)


def test_a_sound_panel_is_asked_once_for_its_balance() -> None:
    with RawPanel(lambda _: ok(BALANCE, told_at(datetime.now(UTC))), tls_of()) as panel:
        found = look(panel.url)
    assert results(found) == ["ok"] * 5
    assert [asked.fields for asked in panel.asked] == [{"key": KEY, "action": "balance"}]
    assert "12.5 USD" in found["balance"].said
    assert "TLSv1." in found["tls"].said
    assert "ends in 90 days" in found["tls"].said
    assert "trustme" in found["tls"].said


@pytest.mark.parametrize(
    ("tls", "said", "remedy"),
    [
        (tls_of(since=-90 * DAY, until=-DAY), "expired", "must renew it"),
        (tls_of(since=DAY, until=2 * DAY), "not yet valid", "timedatectl"),
        (tls_of("another.example"), "mismatch", "a name that the certificate is for"),
    ],
)
def test_a_certificate_that_is_not_believed_gets_no_key(tls: ssl.SSLContext, said: str, remedy: str) -> None:
    with RawPanel(lambda _: ok(BALANCE), tls) as panel:
        found = look(panel.url)
    assert results(found) == ["ok", "ok", "failed", "not_run", "not_run"]
    assert said in found["tls"].said
    assert remedy in str(found["tls"].remedy)
    assert f"openssl s_client -connect 127.0.0.1:{panel.port}" in str(found["tls"].remedy)
    assert found["tls"].exit_code == 5
    assert found["balance"].said == "tls failed"
    assert not panel.asked


def test_a_certificate_for_another_name_is_told_by_name() -> None:
    with RawPanel(lambda _: ok(BALANCE), tls_of("panel.example")) as panel:
        trusting = ssl.create_default_context()
        AUTHORITY.configure_trust(trusting)
        edge = Edge(trusting, resolver(*addresses(("127.0.0.1", panel.port))))
        right = look(f"https://panel.example:{panel.port}/api/v2", edge=edge)
        wrong = look(f"https://other.example:{panel.port}/api/v2", edge=edge)
    assert right["tls"].result == "ok"
    assert right["dns"].said == "panel.example is 127.0.0.1"
    assert "a name that the certificate is for" in str(wrong["tls"].remedy)
    assert len(panel.asked) == 1


def test_an_authority_that_nobody_knows_is_a_reason_to_look() -> None:
    with RawPanel(lambda _: ok(BALANCE), tls_of()) as panel:
        found = look(panel.url, edge=Edge())
    assert "listening in" in str(found["tls"].remedy)
    assert not panel.asked


@pytest.mark.parametrize(
    ("since", "until", "result"),
    [
        (-80 * DAY, 10 * DAY, "warning"),
        (-60 * DAY, 30 * DAY, "ok"),
        (-DAY, 5 * DAY, "ok"),
        (-5 * DAY, DAY, "warning"),
    ],
)
def test_an_end_that_is_near_is_a_warning_in_proportion(since: timedelta, until: timedelta, result: str) -> None:
    with RawPanel(lambda _: ok(BALANCE), tls_of(since=since, until=until)) as panel:
        found = look(panel.url)
    assert found["tls"].result == result
    assert found["balance"].result == "ok"


def test_a_port_that_speaks_no_tls_is_told_so() -> None:
    with Simulator() as panel:
        found = look(panel.url.replace("http:", "https:"))
    assert found["tls"].result == "failed"
    assert "scheme and port" in str(found["tls"].remedy)


def test_plain_http_to_another_machine_is_a_warning_with_the_line_to_write() -> None:
    with RawPanel(lambda _: ok(BALANCE)) as panel:
        assert look(panel.url)["tls"].result == "ok"
        found = look(panel.url, allow_http=True)["tls"]
    assert found.result == "warning"
    assert f'url = "https://127.0.0.1:{panel.port}/api/v2"' in str(found.remedy)


def test_a_name_that_nobody_knows_ends_the_way_at_its_first_step() -> None:
    def resolve(_host: str, _port: int) -> list[Address]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    found = look("https://panel.example/api/v2", edge=Edge(resolve=resolve))
    assert results(found) == ["failed", "not_run", "not_run", "not_run", "not_run"]
    assert found["dns"].exit_code == 5
    assert "Name or service not known" in found["dns"].said
    assert "getent hosts panel.example" in str(found["dns"].remedy)
    assert found["clock"].said == "dns failed"


def test_a_port_that_refuses_is_told_with_the_command_to_look() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/api/v2"
    found = look(url)
    assert results(found) == ["ok", "failed", "not_run", "not_run", "not_run"]
    assert f"curl -sSv -o /dev/null {url}" in str(found["connection"].remedy)
    assert found["connection"].exit_code == 5


def test_a_port_that_says_nothing_is_waited_for_no_longer_than_allowed() -> None:
    with dead_port() as port, held(SHORT):
        way = walk(f"http://127.0.0.1:{port}/", Event(), seconds=SHORT)
    assert way.broken == "connection"
    with socket.create_server(("127.0.0.1", 0)) as listener, held(SHORT):
        way = walk(f"https://127.0.0.1:{listener.getsockname()[1]}/", Event(), seconds=SHORT)
    assert way.broken == "tls"


@pytest.mark.parametrize(
    ("answer", "code", "remedy"),
    [
        (ok({"error": "Invalid API key"}), 4, "present key into /keys/acme.key"),
        (ok({"error": "Invalid API key"}, status="401 Unauthorized"), 4, "systemctl reload tracker"),
        (ok(PAGE, "content-type: text/html\r\n"), 1, "curl -sS -d action=balance http://127.0.0.1"),
        (ok(PAGE, status="502 Bad Gateway"), 5, "tracker check --panel acme"),
        (ok({}, "location: https://evil.example/\r\n", "302 Found"), 5, "Check `url`"),
        (ok(PAGE, status="404 Not Found"), 5, "curl -sS -d action=balance"),
        (ok({"error": "Incorrect request"}), 1, "Check `url`"),
        (ok({"error": "Too many requests"}, status="429 X"), 1, "requests_per_minute"),
        (ok(f"<p>{KEY} key={KEY}</p>".encode(), status="500 X"), 5, "support"),
        (None, 5, "Later again"),
    ],
)
def test_an_answer_that_is_no_balance_keeps_its_exit_code(answer: bytes | None, code: int, remedy: str) -> None:
    with RawPanel(lambda _: answer) as panel:
        found = look(panel.url)
    assert results(found) == ["ok", "ok", "ok", "failed", "not_run"]
    assert found["balance"].exit_code == code
    assert remedy in str(found["balance"].remedy)
    assert len(panel.asked) == 1, "a key that was refused must not be tried again: panels ban for that"


@pytest.mark.parametrize(("minutes", "said"), [(10, "ahead of"), (-10, "behind")])
@pytest.mark.parametrize("status", ["200 OK", "502 Bad Gateway"])
def test_a_clock_ten_minutes_off_is_a_warning_whatever_the_answer(minutes: int, said: str, status: str) -> None:
    def answer(_: Asked) -> bytes:
        head = told_at(datetime.now(UTC) + timedelta(minutes=minutes))
        return ok(BALANCE if status == "200 OK" else PAGE, head, status)

    with RawPanel(answer) as panel:
        found = look(panel.url)["clock"]
    assert found.result == "warning"
    assert said in found.said
    assert "10m " in found.said or "9m59s" in found.said
    assert "timedatectl" in str(found.remedy)


@pytest.mark.parametrize(
    "head", ["", "date: yesterday\r\n", "date: Mon, 99 Foo 2026 10:00:00 GMT\r\n", "date: \r\n"]
)
def test_a_reply_without_a_time_leaves_the_clock_unchecked(head: str) -> None:
    with RawPanel(lambda _: ok(BALANCE, head)) as panel:
        found = look(panel.url)
    assert found["balance"].result == "ok"
    assert found["clock"].result == "not_run"


@pytest.mark.parametrize(
    ("told", "sent", "received", "wanted"),
    [
        (100.0, 100.2, 100.4, 0.0),  # Date cuts the fraction off
        (100.0, 99.0, 104.0, 0.0),
        (100.0, 101.5, 102.0, -0.5),
        (100.0, 95.0, 97.0, 3.0),
        (100.0, 100.9, 101.0, 0.0),
    ],
)
def test_a_clock_is_only_off_by_what_its_reply_cannot_explain(
    told: float, sent: float, received: float, wanted: float
) -> None:
    assert ahead(told, sent, received) == pytest.approx(wanted)


def test_a_date_in_another_zone_is_the_same_moment() -> None:
    assert date_of("Mon, 23 Nov 2026 12:00:00 +0200") == datetime(2026, 11, 23, 10, tzinfo=UTC)
    assert date_of("Mon, 23 Nov 2026 10:00:00 -0000") == datetime(2026, 11, 23, 10, tzinfo=UTC)
