"""Rows added up and put in order, after they were read; every currency by itself."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, TypeAlias

from tracker.cli.quantities import money

Row: TypeAlias = Mapping[str, Any]

ADDED: Final = ("orders", "charge", "unpriced")


def summed(rows: Iterable[Row], by: Sequence[str]) -> list[dict[str, Any]]:
    """Return one row for all that are the same in the columns `by`, the others of `ADDED` added up.

    A charge that no panel told stays None; it is not 0.
    """
    sums: dict[tuple[object, ...], dict[str, Any]] = {}
    for row in rows:
        key = tuple(row[name] for name in by)
        total = sums.setdefault(key, dict(zip(by, key, strict=True)) | dict.fromkeys(ADDED))
        for name in ADDED:
            if row[name] is not None:
                total[name] = row[name] + (total[name] or 0)
    return list(sums.values())


def ordered(rows: Sequence[dict[str, Any]], sort: str) -> list[dict[str, Any]]:
    """Return the rows by one column (`-name`: the largest first); where that is None they come last both ways."""
    name = sort.removeprefix("-")
    known = [row for row in rows if row[name] is not None]
    known.sort(key=lambda row: row[name], reverse=sort.startswith("-"))
    return known + [row for row in rows if row[name] is None]


def in_total(rows: Iterable[Row], column: str) -> str:
    """Return the amounts of a column added up, one for each currency: `12.3 USD and 5 EUR`."""
    sums: dict[str, Decimal] = {}
    for row in rows:
        sums[row["currency"]] = sums.get(row["currency"], Decimal()) + (row[column] or 0)
    return " and ".join(money(total.normalize(), currency) for currency, total in sorted(sums.items())) or "0"
