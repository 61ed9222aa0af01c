"""What may be shown of a text that came from outside: no key, no control characters, not much of it."""

import json
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from html import escape
from typing import Final, NamedTuple
from urllib.parse import quote, quote_plus

SHORTEST_SECRET: Final = 6
"""A shorter "secret" would be found inside ordinary figures and words, and cutting it out would falsify them."""

SNIPPET: Final = 200
"""Characters of a reply that are kept: enough for a sentence, too little for a page."""

_FORM_KEY: Final = re.compile(r"\b(key=)[^&\s\"'<>]+", re.IGNORECASE)
_ESCAPES: Final = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?")
# Letters need no escape in JSON, but may have one; a quote or a backslash would be another text without it.
_NEEDLESS: Final = re.compile(rb"\\u00(2[013-9a-f]|5[0-9abd-f]|[3467][0-9a-f])", re.IGNORECASE)


class _Needle(NamedTuple):
    """How a secret is found, in any form and in any case: a panel may shout what it was sent."""

    text: re.Pattern[str]
    body: re.Pattern[bytes]
    raw: tuple[bytes, ...]
    """The forms in lower case: to look for them in a lower-cased body costs a hundredth of the pattern."""


@lru_cache(maxsize=64)
def _needle(secret: str) -> _Needle | None:
    """Return what finds `secret` as a form, a URL, JSON or HTML may spell it; None where it is no secret."""
    if len(secret) < SHORTEST_SECRET:
        return None
    safe = secret.encode(errors="replace").decode()
    json_form = json.dumps(secret)[1:-1]
    forms = {secret, quote(safe, safe=""), quote_plus(safe), json_form}
    forms |= {form.replace("/", r"\/") for form in (secret, json_form)}  # as PHP writes it
    forms |= {escape(secret), escape(secret, quote=False)}  # as a page quotes it
    longest_first = sorted(forms, key=len, reverse=True)
    raw = [form.encode(errors="replace") for form in longest_first]
    return _Needle(
        re.compile("|".join(map(re.escape, longest_first)), re.IGNORECASE),
        re.compile(b"|".join(map(re.escape, raw)), re.IGNORECASE),
        tuple(form.lower() for form in raw),
    )


def _needles(secrets: Sequence[str]) -> Iterator[_Needle]:
    return filter(None, map(_needle, secrets))


def redact(text: str, secrets: Sequence[str] = (), limit: int = SNIPPET) -> str:
    """Return `text` on one line, without the secrets in any form, at most `limit` characters long."""
    for needle in _needles(secrets):
        text = needle.text.sub("[key]", text)
    # Cut before the slow steps, after the secrets: a cut through a secret would leave half of it.
    text = _FORM_KEY.sub(r"\1[key]", _ESCAPES.sub("", text[: limit * 20]))
    if not text.isprintable():
        text = "".join(c if c.isprintable() else " " for c in text)
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1] + "…"


def holds(text: str, secrets: Sequence[str]) -> bool:
    """Tell whether a secret stands in `text`, in any form."""
    return any(needle.text.search(text) for needle in _needles(secrets))


def without(body: bytes, secrets: Sequence[str]) -> bytes:
    """Return a reply's body with the secrets blotted out: what is read from it can then be stored and shown."""
    plain = body
    if b"\\u00" in body:
        plain = _NEEDLESS.sub(lambda found: bytes.fromhex(found[1].decode()), body)
    folded = plain.lower()
    for needle in _needles(secrets):
        if any(form in folded for form in needle.raw):
            body = plain = needle.body.sub(b"[key]", plain)
    return body
