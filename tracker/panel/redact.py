"""What may be shown of a text that came from outside: no key, no control characters, not much of it."""

import json
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final
from urllib.parse import quote, quote_plus

SHORTEST_SECRET: Final = 6
"""A shorter "secret" would be found inside ordinary figures and words, and cutting it out would falsify them."""

SNIPPET: Final = 200
"""Characters of a reply that are kept: enough for a sentence, too little for a page."""

_FORM_KEY: Final = re.compile(r"\b(key=)[^&\s\"'<>]+", re.IGNORECASE)
_ESCAPES: Final = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?")


@lru_cache(maxsize=64)
def _forms(secret: str) -> tuple[str, ...]:
    """Return the ways in which `secret` may be written in a form, a URL or JSON, longest first."""
    if len(secret) < SHORTEST_SECRET:
        return ()
    safe = secret.encode(errors="replace").decode()
    json_form = json.dumps(secret)[1:-1]
    forms = {secret, quote(safe, safe=""), quote_plus(safe), json_form}
    forms |= {form.replace("/", r"\/") for form in (secret, json_form)}  # as PHP writes it
    return tuple(sorted(forms, key=len, reverse=True))


def redact(text: str, secrets: Sequence[str] = (), limit: int = SNIPPET) -> str:
    """Return `text` on one line, without the secrets in any form, at most `limit` characters long."""
    for secret in secrets:
        for form in _forms(secret):
            text = text.replace(form, "[key]")
    # Cut before the slow steps, after the secrets: a cut through a secret would leave half of it.
    text = _FORM_KEY.sub(r"\1[key]", _ESCAPES.sub("", text[: limit * 20]))
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return text if len(text) <= limit else text[: limit - 1] + "…"


def holds(text: str, secrets: Sequence[str]) -> bool:
    """Tell whether a secret stands in `text`, in any form."""
    return any(form in text for secret in secrets for form in _forms(secret))


def without(body: bytes, secrets: Sequence[str]) -> bytes:
    """Return a reply's body with the secrets blotted out: what is read from it can then be stored and shown."""
    for secret in secrets:
        for form in _forms(secret):
            raw = form.encode(errors="replace")
            if raw in body:
                body = body.replace(raw, b"[key]")
    return body
