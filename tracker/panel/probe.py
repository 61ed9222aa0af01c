"""The way to a panel, looked at step by step: its name, a connection, TLS, and one harmless question.

A client that polls only needs to know that a request failed. A person who mends it needs to know at which step.
"""

import ssl
import threading
import time
from contextlib import closing
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import httpx

from tracker.errors import PanelFault
from tracker.model import Balance
from tracker.panel.backend import Address, Backend, Call, Calls, Resolve, resolve_name, uptime
from tracker.panel.budget import Budget
from tracker.panel.bulk import Abilities
from tracker.panel.client import PanelClient
from tracker.panel.redact import redact
from tracker.panel.sender import Account
from tracker.panel.transport import MIB, make_http_client, public_tls

WAY_SECONDS: Final = 10.0
"""For name, connection and handshake together: a panel that needs longer misses the time of its polls as well."""

_PORTS: Final = {"http": 80, "https": 443}

Step: TypeAlias = Literal["name", "connection", "tls"]


class Certificate(NamedTuple):
    """What a panel proved itself with, checked already."""

    begins_at: datetime
    ends_at: datetime
    issuer: str
    version: str
    """Of the protocol, such as `TLSv1.3`."""


class Way(NamedTuple):
    """How far one got towards a panel. Nothing but the handshake was sent."""

    host: str
    port: int
    addresses: tuple[str, ...]
    certificate: Certificate | None = None
    """None over plain http."""
    fault: PanelFault | None = None
    broken: Step | None = None
    """The step that failed with `fault`."""
    mistrust: int | None = None
    """Why the certificate is not believed: OpenSSL's number, an `X509_V_ERR_…`."""


class Heard(NamedTuple):
    """What came of asking for the balance."""

    answer: Balance | PanelFault
    seconds: float
    date: datetime | None = None
    """The panel's clock by the Date of its reply, whatever the reply was; None where it told none."""
    ahead: float = 0.0
    """By how many seconds that clock is surely ahead of ours; negative: behind."""


def walk(
    url: str,
    stop: threading.Event,
    *,
    seconds: float = WAY_SECONDS,
    tls: ssl.SSLContext | None = None,
    resolve: Resolve = resolve_name,
) -> Way:
    """Resolve, connect and shake hands, and hang up. Faults are in what is returned."""
    parsed = httpx.URL(url)
    host, port = parsed.raw_host.decode("ascii"), parsed.port or _PORTS[parsed.scheme]
    found: list[str] = []

    def noting(name: str, number: int) -> list[Address]:
        addresses = resolve(name, number)
        found.extend(dict.fromkeys(str(address[4][0]) for address in addresses))
        return addresses

    calls = Calls()
    calls.current = Call(host, uptime() + seconds, MIB, stop)
    try:
        stream = Backend(calls, noting).connect_tcp(host, port)
    except PanelFault as fault:
        return Way(host, port, tuple(found), fault=fault, broken="connection" if found else "name")
    certificate = None
    try:
        if parsed.scheme == "https":
            stream = stream.start_tls(tls or public_tls(), host)
            certificate = _certificate(stream.get_extra_info("ssl_object"))
    except PanelFault as fault:
        why = fault.__context__  # the fault tells it in words only
        number = why.verify_code if isinstance(why, ssl.SSLCertVerificationError) else None
        return Way(host, port, tuple(found), fault=fault, broken="tls", mistrust=number)
    finally:
        stream.close()
    return Way(host, port, tuple(found), certificate)


def _certificate(secure: ssl.SSLSocket) -> Certificate:
    told: Any = secure.getpeercert()
    begins, ends = (
        datetime.fromtimestamp(ssl.cert_time_to_seconds(told[name]), UTC) for name in ("notBefore", "notAfter")
    )
    issuer = {name: value for part in told.get("issuer", ()) for name, value in part}
    names = [issuer[name] for name in ("organizationName", "commonName") if name in issuer]
    return Certificate(begins, ends, redact(" ".join(names) or "nobody who is named"), secure.version() or "TLS")


def ask_balance(
    account: Account,
    stop: threading.Event,
    *,
    tls: ssl.SSLContext | None = None,
    resolve: Resolve = resolve_name,
) -> Heard:
    """Ask for the balance once, outside of any budget. Faults are in what is returned."""
    dates: list[tuple[datetime | None, float]] = []
    with make_http_client(stop, tls=tls, resolve=resolve) as http:
        http.event_hooks = {
            "response": [lambda reply: dates.append((date_of(reply.headers.get("date")), time.time()))]
        }
        client = PanelClient(account, http=http, budget=Budget(None), abilities=Abilities(), stop=stop)
        answer: Balance | PanelFault
        with closing(client):
            sent, started = time.time(), uptime()
            try:
                answer = client.balance()
            except PanelFault as fault:
                answer = fault
            took = uptime() - started
    date, received = dates[-1] if dates else (None, 0.0)
    if date is None:
        return Heard(answer, took)
    return Heard(answer, took, date, ahead(date.timestamp(), sent, received))


def date_of(header: str | None) -> datetime | None:
    """Return the moment of a Date header; None where there is none, or garbage."""
    try:
        moment = parsedate_to_datetime(header or "")
    except (ValueError, TypeError, OverflowError):
        return None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def ahead(told: float, sent: float, received: float) -> float:
    """Return by how many seconds a clock that told `told`, cut to a second, is surely ahead of ours (< 0: behind).

    It was read at some moment between `sent` and `received`: what that can explain is no difference.
    """
    if told > received:
        return told - received
    return min(told + 1.0 - sent, 0.0)
