"""What a proof tells: figures, one a row of the table in `docs/reliability.md`."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias


class Figure(NamedTuple):
    """One row: what was done how often, and what came of it."""

    promises: str
    """Which are proven, such as `P1 P2 P3`."""
    what: str
    """What was done, such as `SIGKILL of the daemon at a random moment, SQLite`."""
    times: int
    result: str
    """What was found, in a few words with figures: `nothing lost; back after 0.4 s, at most 1.2 s`."""


class Profile(NamedTuple):
    """How much is done."""

    long: bool = False
    seed: int = 1
    say: Callable[[str], object] = lambda _: None
    """Told what is being done, for whoever watches."""

    def often(self, short: int, long: int) -> int:
        """Return how often something is to be done."""
        return long if self.long else short


Proof: TypeAlias = Callable[[Profile, str], Iterator[Figure]]
"""Called with a profile and the URL of an empty, migrated database (SQLite or Postgres) of its own."""

Rows: TypeAlias = Mapping[str, Sequence[Figure]]
"""Module -> its figures."""

HEAD: Final = "| `--only` | promises | what was done | times | found |\n|---|---|---|---:|---|\n"


def table(rows: Rows, before: str = "") -> str:
    """Return a table in Markdown; the rows of modules that are not in `rows` are taken over from `before`."""
    old = [line for line in before.splitlines() if line.startswith("| ")][1:]
    kept: dict[str, list[str]] = {}
    for line in old:
        kept.setdefault(line.split("|")[1].strip(), []).append(line)
    new = {name: [_line(name, figure) for figure in figures] for name, figures in rows.items()}
    return HEAD + "\n".join(line for lines in (kept | new).values() for line in lines) + "\n"


def _line(name: str, figure: Figure) -> str:
    cells = [name, figure.promises, figure.what, f"{figure.times:,}", figure.result]
    return f"| {' | '.join(' '.join(cell.split()).replace('|', '¦') for cell in cells)} |"
