"""The key goes nowhere: not into texts, not into what is read from a reply."""

import html
import json
import logging
import threading
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st
from raw_panel import Asked, RawPanel, ok

from tracker.errors import ConfigurationFault, PanelFault
from tracker.model import Status
from tracker.panel import Abilities, Account, Budget, PanelClient, make_http_client, redact
from tracker.panel.redact import holds, without

KEY = "s3cr/t+k y=&ü0123456789"
FORMS = [KEY, "s3cr%2Ft%2Bk+y%3D%26%C3%BC0123456789", "s3cr%2Ft%2Bk%20y%3D%26%C3%BC0123456789"]


def client(url: str, key: str = KEY) -> PanelClient:
    stop = threading.Event()
    return PanelClient(
        Account("acme", url, key),
        http=make_http_client(stop),
        budget=Budget(None),
        abilities=Abilities(),
        stop=stop,
    )


@pytest.mark.parametrize("form", FORMS)
def test_a_key_is_blotted_out_of_a_text_in_every_form(form: str) -> None:
    text = redact(f"before {form} after", [KEY])
    assert text == "before [key] after"


def test_what_follows_key_in_form_text_is_blotted_out_whoever_it_belongs_to() -> None:
    assert redact("POST key=abc123&action=status") == "POST key=[key]&action=status"


@pytest.mark.parametrize(
    "form",
    [
        "S3CR/T+K Y=&ü0123456789",
        FORMS[1].lower(),
        KEY.replace("/", r"\/"),
        html.escape(KEY),
        json.dumps(KEY)[1:-1],
        "".join(f"\\u{ord(letter):04X}" for letter in KEY),
        KEY.replace("&", r"\u0026"),
    ],
    ids=["upper", "lower", "php", "html", "json", "escaped", "hex-amp"],
)
def test_a_key_is_blotted_out_of_a_body_in_every_form_and_case(form: str) -> None:
    assert without(f'{{"error":"{form}!"}}'.encode(), [KEY]) == b'{"error":"[key]!"}'
    assert holds(f"({form})", [KEY]) or "\\u" in form


def test_a_body_without_the_key_is_left_as_it_came() -> None:
    body = rb'{"a":"\u0041\u0022\u005c \\u0041","b":"\u00e9"}'
    assert without(body, [KEY, "another-key"]) == body


def test_what_is_no_key_is_not_found() -> None:
    assert not holds("nothing", [KEY])
    assert not holds("x 12345 y", ["12345"])
    assert holds("x 123456 y", ["", "123456"])


@given(st.text())
def test_a_redacted_text_is_one_short_printable_line(text: str) -> None:
    shown = redact(text, [KEY])
    assert len(shown) <= 200
    assert shown.isprintable()


@given(st.text(max_size=300), st.integers(0, 300))
def test_a_cut_never_leaves_half_a_key(around: str, at: int) -> None:
    shown = redact(around[:at] + "0123456789abcdef" + around[at:], ["0123456789abcdef"])
    assert "0123456789" not in shown


def test_a_short_secret_does_not_falsify_what_is_read() -> None:
    assert without(b'{"order":1}', ["1"]) == b'{"order":1}'


@pytest.mark.parametrize(
    "reply",
    [
        ok({"error": f"Invalid API key {KEY}"}),
        ok({"error": f"bad request: key={KEY}&action=status"}),
        ok({"1": {"error": f"who is {KEY}"}, "2": {"status": KEY}}),
        ok(f"<html>{KEY} {FORMS[1]}</html>".encode()),
        ok(b"", f"location: https://elsewhere.example/?key={FORMS[1]}\r\n", "302 Found"),
        ok(json.dumps({"error": KEY}).encode(), status="500 Oops"),
        ok({"charge": KEY, "status": "Pending"}),
        f"HTTP/1.1 200 {FORMS[1]}\x00\r\n\r\n".encode(),
        b"",
    ],
)
def test_a_panel_that_echoes_the_key_gets_it_into_no_answer_no_error_and_no_log(
    reply: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    def answer(asked: Asked) -> None:
        asked.sock.sendall(reply)

    with RawPanel(answer) as panel:
        acme = client(panel.url)
        shown = ""
        for ask in (lambda: acme.ask_statuses(["1", "2"]), lambda: acme.add("5", link="x"), acme.balance):
            try:
                shown += repr(ask())
            except PanelFault as fault:
                shown += "".join(traceback.format_exception(fault)) + repr(fault) + repr(vars(fault))
        acme._sender._http.close()
    shown += caplog.text + repr(acme)
    assert panel.asked[0].fields["key"] == KEY
    for form in [*FORMS, json.dumps(KEY)[1:-1], "0123456789"]:
        assert form not in shown


def test_an_account_does_not_show_its_key() -> None:
    assert KEY not in repr(Account("acme", "https://panel.example/api/v2", KEY))


def test_a_password_in_the_url_is_a_secret_as_well() -> None:
    with RawPanel(lambda _: ok({"1": {"status": "pass-w0rd"}})) as panel:
        acme = client(panel.url.replace("http://", "http://me:pass-w0rd@"))
        assert acme.status("1") == Status("unknown", "[key]")
        acme._sender._http.close()


@pytest.mark.parametrize("url", ["", "panel.example", "ftp://panel.example/", "http://", "http://x:99999/"])
def test_an_url_that_cannot_be_asked_is_a_configuration_fault(url: str) -> None:
    with pytest.raises(ConfigurationFault, match="acme"):
        client(url)
