"""The way to a panel and back: name, connection, certificate, one question, and the clock of the answer."""

import shlex
import ssl
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from tracker.checks.finding import Finding, failed, not_run, ok, roughly, warning
from tracker.errors import (
    EXIT_UNREACHABLE,
    BadReply,
    KeyRefused,
    PanelFault,
    RateLimited,
    Refused,
)
from tracker.panel import Account
from tracker.panel.backend import Resolve, resolve_name
from tracker.panel.probe import Certificate, Heard, Step, Way, ask_balance, walk
from tracker.settings import PanelSettings
from tracker.settings.records import UNREAD

CHECKS: Final = ("dns", "connection", "tls", "balance", "clock")

SKEW: Final = 10.0
"""Seconds between two clocks that nobody needs to hear about."""

SOON: Final = timedelta(days=14)
"""Certificates of 90 days are usually renewed 30 days before their end: with fewer left, somebody forgot."""
LAST_PART: Final = 4
"""Of one that lives for days only, the last quarter is soon."""

_STEPS: Final[dict[Step, str]] = {"name": "dns", "connection": "connection", "tls": "tls"}

_EXPIRED, _TOO_EARLY = 10, 9
_OTHER_NAME: Final = frozenset({62, 64})
_NOBODY_VOUCHES: Final = frozenset({18, 19, 20, 21})
# The numbers are OpenSSL's X509_V_ERR_…


class Edge(NamedTuple):
    """What stands between us and the network; the system's own, but for tests."""

    tls: ssl.SSLContext | None = None
    resolve: Resolve = resolve_name


def outside(panel: PanelSettings, now: datetime, edge: Edge) -> Iterator[Finding]:
    """Go the way step by step; after a step that failed the others say so. At most one request is sent."""
    stop = threading.Event()
    way = walk(panel.url, stop, tls=edge.tls, resolve=edge.resolve)
    yield from _steps(panel, way, now)
    if way.fault is not None:
        yield from (not_run(check, f"{_STEPS[way.broken or 'name']} failed") for check in CHECKS[3:])
    elif panel.key == UNREAD:
        yield from (not_run(check, "the key could not be read: the configuration failed") for check in CHECKS[3:])
    else:
        account = Account(panel.name, panel.url, panel.key.reveal())
        heard = ask_balance(account, stop, tls=edge.tls, resolve=edge.resolve)
        yield _balance(panel, heard)
        yield _clock(heard)


def _steps(panel: PanelSettings, way: Way, now: datetime) -> Iterator[Finding]:
    """Tell of each step of the way, those not gone included."""
    broken = None if way.broken is None else _STEPS[way.broken]
    for check in CHECKS[:3]:
        if way.fault is not None and check == broken:
            yield failed(check, str(way.fault), _mend(panel, way), EXIT_UNREACHABLE)
            yield from (not_run(later, f"{check} failed") for later in CHECKS[CHECKS.index(check) + 1 : 3])
            return
        if check == "dns":
            known = [address for address in way.addresses if address != way.host]
            yield ok(check, f"{way.host} is {', '.join(known) or 'an address, not a name'}")
        elif check == "connection":
            yield ok(check, f"port {way.port} answers")
        else:
            yield _tls(panel, way.certificate, now)


def _mend(panel: PanelSettings, way: Way) -> str:
    """Return the remedy of the step that is broken."""
    place = shlex.quote(f"{way.host}:{way.port}")
    show = f"openssl s_client -connect {place} </dev/null | openssl x509 -noout -dates -ext subjectAltName"
    if way.broken == "name":
        return (
            f"getent hosts {shlex.quote(way.host)}; check `url` below [panels.{panel.name}] and /etc/resolv.conf"
        )
    if way.broken == "connection":
        return f"curl -sSv -o /dev/null {shlex.quote(panel.url)}; check the port of `url`, and the firewall"
    if way.mistrust in {_EXPIRED, _TOO_EARLY}:
        return f"Where `timedatectl` finds this clock right, the panel must renew it, so tell its support: {show}"
    if way.mistrust in _OTHER_NAME:
        return f"Write into `url` a name that the certificate is for: {show}"
    if way.mistrust in _NOBODY_VOUCHES:
        return f"Somebody may be listening in, or the panel sends half a chain. Look, and ask its support: {show}"
    return f"Check scheme and port of `url`, and that no proxy stands between: {show}"


def _tls(panel: PanelSettings, certificate: Certificate | None, now: datetime) -> Finding:
    if certificate is None:
        if panel.allow_http:
            said = "plain http: the key crosses the network in the clear"
            return warning("tls", said, f'Where the panel knows https, write: url = "https{panel.url[4:]}"')
        return ok("tls", "plain http, on this machine")
    left = certificate.ends_at - now
    said = (
        f"{certificate.version}; the certificate of {certificate.issuer} ends in "
        f"{roughly(left.total_seconds())}, on {certificate.ends_at:%Y-%m-%d}"
    )
    if left < min(SOON, (certificate.ends_at - certificate.begins_at) / LAST_PART):
        return warning(
            "tls", said, "Tell the panel's support: from then on nothing can be asked without a new one"
        )
    return ok("tls", said)


def _balance(panel: PanelSettings, heard: Heard) -> Finding:
    if isinstance(heard.answer, PanelFault):
        fault = heard.answer
        return failed("balance", str(fault), _next_step(panel, fault), fault.exit_code)
    amount, currency = heard.answer
    return ok("balance", f"{amount:f} {currency}, told in {heard.seconds:.2f} s")


def _next_step(panel: PanelSettings, fault: PanelFault) -> str:
    if isinstance(fault, KeyRefused):
        return (
            f"Put the panel's present key into {shlex.quote(str(panel.key_file))}, then: systemctl reload tracker"
        )
    if isinstance(fault, RateLimited):
        return f"Write a smaller requests_per_minute below [panels.{panel.name}]"
    if isinstance(fault, BadReply | Refused) or "`url`" in str(fault):  # a redirect, or a page that is not there
        look = f"curl -sS -d action=balance {shlex.quote(panel.url)}"
        return f"Check `url` below [panels.{panel.name}]; this shows what is there, without the key: {look}"
    return f"Later again: tracker check --panel {panel.name}. Where it stays, ask the panel's support"


def _clock(heard: Heard) -> Finding:
    if heard.date is None:
        return not_run("clock", "no reply told the panel's time")
    if abs(heard.ahead) <= SKEW:
        return ok("clock", "the panel's agrees with this machine's")
    apart = f"{roughly(abs(heard.ahead))} {'ahead of' if heard.ahead > 0 else 'behind'}"
    said = f"the panel's is {apart} this machine's: one of the two is wrong"
    return warning(
        "clock", said, "Where timedatectl says that this one is not synchronized: timedatectl set-ntp true"
    )
