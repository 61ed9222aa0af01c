"""P2 and P3 over a long history: `tracker verify` reads all of it, quickly, and in little memory."""

from collections.abc import Iterator
from typing import Final

from bench import past
from bench.common import apart

from proof.table import Figure, Profile

ORDERS: Final = 1_000
LONG: Final = 1_000_000


def prove(profile: Profile, url: str) -> Iterator[Figure]:
    """Make a history of ten transitions an order, and verify it in a process of its own."""
    orders = profile.often(ORDERS, LONG)
    profile.say(f"a history of {orders:,} orders")
    past.make(url, orders)
    profile.say("verifying it")
    found = apart("verify", url)
    transitions = found["checked"]["transitions"]
    assert transitions == orders * past.TRANSITIONS, found
    yield Figure(
        "P2 P3",
        f"`tracker verify` on a history of {orders:,} orders, {url.partition(':')[0].partition('+')[0]}",
        transitions,
        f"transitions without a violation in {found['seconds']:.1f} s; {found['peak_mib']} MiB at the peak",
    )
