"""P1 to P3 on a PostgreSQL that crashes and loses its sessions under a daemon at work."""

from collections.abc import Iterator

from bench.races import trouble

from proof.table import Figure, Profile


def prove(profile: Profile, url: str) -> Iterator[Figure]:
    """Restart the server as after a crash and kill its sessions, again and again; Postgres alone."""
    crashes, kills = profile.often(3, 30), profile.often(10, 300)
    found = trouble(url, crashes, kills)
    assert not found["violations"], found
    assert found["exit_code"] == 0, found
    back = f"polling again after {found['median_s']} s, at most {found['worst_s']} s"
    promises = "P1 P2 P3 P7"
    yield Figure(promises, "PostgreSQL restarted as after a crash, under load", crashes, back)
    yield Figure(
        "P1 P2 P3 P7", "sessions of the daemon killed by the server", found["killed"], "nothing lost or twice"
    )
