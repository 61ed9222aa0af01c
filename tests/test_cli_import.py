"""`tracker import`: good rows go in, bad ones come back with their reasons, and doing it twice changes nothing."""

import csv
import io
import json
import shutil
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cli_setting import Type, configure, sql, typed, typed_here, typist
from terminal import Terminal

from tracker.cli.following.importing.importer import CHUNK
from tracker.errors import DatabaseUnreachable
from tracker.store.database import Database
from tracker.store.following.intake import NewOrder

COLUMNS = ", ".join(("panel", *NewOrder._fields))
HEADER = ("panel", *NewOrder._fields)
ROWS = (
    ("acme", "23501", "17", "https://example.com/p/1", "1000", "", "", "shop-1", "2026-01-02 10:00:00"),
    ("beta", "23501", "", 'a, "quoted"; line\nof two', "", "10", "60", "", "2026-01-02T12:00:00.5+02:00"),
    ("acme", "ord_01HG9X7K", "", "", "", "0", "0", "заказ 7", "1767348000"),
)
KNOWN = [
    ("acme", "23501", "17", "https://example.com/p/1", 1000, None, None, "shop-1", "2026-01-02 10:00:00.000000"),
    ("acme", "ord_01HG9X7K", None, None, None, None, None, "заказ 7", "2026-01-02 10:00:00.000000"),
    ("beta", "23501", None, 'a, "quoted"; line\nof two', None, 10, 60, None, "2026-01-02 10:00:00.500000"),
]


@pytest.fixture
def type_(
    tmp_path: Path, migrated_file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Type:
    """Type a command where two panels are configured and nothing was recorded yet."""
    panels = dict.fromkeys(("acme", "beta"), "http://127.0.0.1:9/api/v2")
    shutil.copy(migrated_file, tmp_path / "tracker.db")
    configure(tmp_path, panels, f"sqlite:///{tmp_path}/tracker.db")
    monkeypatch.chdir(tmp_path)
    return typist(capsys)


Look = Callable[[], list[tuple[object, ...]]]


@pytest.fixture
def orders(tmp_path: Path) -> Look:
    """Return what is known of all orders, as another program reads it."""
    query = f"SELECT {COLUMNS} FROM orders ORDER BY panel, order_id"
    return lambda: [tuple(row) for row in sql(f"sqlite:///{tmp_path}/tracker.db", query)]


def csv_file(rows: object = ROWS, header: object = HEADER, delimiter: str = ",", end: str = "\n") -> str:
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, lineterminator=end)
    writer.writerow(header)  # type: ignore[arg-type]  # an iterable, as rows
    writer.writerows(rows)  # type: ignore[arg-type]  # as above
    return text.getvalue()


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize(("bom", "end"), [("", "\n"), ("\ufeff", "\r\n")])
def test_a_csv_file_of_any_usual_kind_goes_in(
    type_: Type, orders: Look, delimiter: str, bom: str, end: str
) -> None:
    Path("shop.csv").write_bytes((bom + csv_file(delimiter=delimiter, end=end)).encode())
    assert type_("import shop.csv") == (0, "shop.csv: 3 new, 0 known.\n", "")
    assert orders() == KNOWN
    assert type_("import shop.csv") == (0, "shop.csv: 0 new, 3 known.\n", "")
    assert orders() == KNOWN


def test_json_lines_say_the_same(type_: Type, orders: Look) -> None:
    lines = [json.dumps({name: cell or None for name, cell in zip(HEADER, row, strict=True)}) for row in ROWS]
    numbers = {**json.loads(lines[0]), "order_id": 23501, "service_id": 17, "quantity": 1000, "runs": 0}
    Path("shop.jsonl").write_text("\n".join([json.dumps(numbers), "", *lines[1:]]))
    assert type_("import shop.jsonl") == (0, "shop.jsonl: 3 new, 0 known.\n", "")
    assert orders() == KNOWN


def test_columns_are_found_by_name_in_any_order_and_others_are_named(type_: Type, orders: Look) -> None:
    Path("export").write_text("Date,  ,Service,ID,Order-ID,URL,Qty,State\n2026-01-02,,17,5,23501,x,3,done\n")
    code, out, err = type_("import export --panel acme")
    assert (code, out) == (0, "export: 1 new, 0 known.\n")
    assert err == "Unknown columns, left alone: '  ', 'ID', 'State'.\n"
    assert orders() == [("acme", "23501", "17", "x", 3, None, None, None, "2026-01-02 00:00:00.000000")]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (",7", "names no panel"),
        ("acem,7", "There is no panel acem in"),
        ("acme/7,7", "'acme/7' cannot be the name of a panel"),
        ("acme,", "names no order_id"),
        ("acme,1 2", "order_id: '1 2' cannot be the id of an order: no comma, no space, no quote"),
        ('acme,"1,2"', "order_id: '1,2' cannot be the id"),
        ('acme,"""7"', "order_id: '\"7' cannot be the id"),
        ("acme,7,Instagram Likes", "service_id: 'Instagram Likes' cannot be the id of a service"),
        (f"acme,{101 * '7'}", "it has more than 100 characters"),
        ("acme,7,17,a\0b", r"link: 'a\x00b' holds a NUL"),
        ("acme,7,17,\udcfcber", r"link: '\xfcber' is no Unicode text: save the file as UTF-8"),
        ("acme,7,17,x,1.5", "quantity: '1.5' is no whole number from 1 on"),
        ("acme,7,17,x,0", "quantity: '0' is no whole number"),
        ("acme,7,17,x,9223372036854775808", "quantity: '9223372036854775808' is no whole number"),
        ("acme,7,17,x,٣", "quantity: '٣' is no whole number"),
        ("acme,7,17,x,1,-1", "runs: '-1' is no whole number from 0 on"),
        ("acme,7,17,x,1,1,1,r,23.11.2026", "ordered_at: '23.11.2026' is no time like 2026-11-23T10:15:00Z"),
        ("acme,7,17,x,1,1,1,r,20261123", "ordered_at: '20261123' is no time"),
        ("acme,7,17,x,1,1,1,r,1795774500000", "ordered_at: '1795774500000' is no time"),
        ("acme,7,17,x,1,1,1,r,0001-01-01T00:00:00+05:00", "is no time"),
        ("acme", "has 1 cells for 9 columns"),
        ("acme,7,17,x,1,1,1,r,2026-01-01,more", "has 10 cells for 9 columns"),
        ('acme,7,17,"x"y,1', "has a quote that is never closed, or one inside of quotes that is not doubled"),
        ('acme,7,17,"x', "has a quote that is never closed"),
        ("acme,7,17," + 150_000 * "x", "has a field that is too large"),
        ("acme,7,17," + 250_000 * "x", "has a field that is too large"),
        ("acme" + 3 * ("," + 100_000 * "x"), "is longer than 200,000 characters"),
        ("acme,23501,18", "contradicts line 2, which is about acme/23501 too"),
    ],
)
def test_a_bad_row_is_told_with_its_line_and_spoils_no_other(
    type_: Type, orders: Look, row: str, reason: str
) -> None:
    """It goes to the rejects file, which is rejected for the same row until that is mended."""
    whole = row if "cells" in reason or '"x' in row else row + "," * (8 - row.count(",") + row.count("1,2"))
    before, after = csv_file(ROWS[:1]), csv_file(ROWS[1:], header=()).lstrip("\r\n")
    Path("shop.csv").write_text(f"{before}{whole}\n\n,,,,,,,,\n{after}", errors="surrogateescape", newline="")
    code, out, err = type_("import shop.csv")
    assert (code, out) == (3, "shop.csv: 3 new, 0 known, 1 of 4 rows rejected.\n")
    told = err.splitlines()[0]
    assert told.startswith("line 3: ")
    assert reason in told
    assert orders() == KNOWN
    assert type_("import shop.csv.rejects.csv")[0] in ({0} if "contradicts" in reason else {1})
    assert orders() == KNOWN


def test_rejected_rows_are_mended_and_imported(type_: Type, orders: Look) -> None:
    rows = [(*ROWS[0][:4], "many", *ROWS[0][5:]), ROWS[1], ("acem", *ROWS[2][1:])]
    Path("shop.csv").write_text(csv_file(rows, delimiter=";"))
    code, _, err = type_("import shop.csv")
    assert code == 3
    assert "The rejected rows are in shop.csv.rejects.csv, to be mended and imported." in err
    rejects = Path("shop.csv.rejects.csv").read_text()
    mended = rejects.replace(";many;", ";1000;").replace(";acem;", ";acme;")
    assert mended.startswith("line;reason;panel;order_id;service_id;")
    Path("shop.csv.rejects.csv").write_text(mended)
    assert type_("import shop.csv.rejects.csv") == (0, "shop.csv.rejects.csv: 2 new, 0 known.\n", "")
    assert orders() == KNOWN


def test_bad_lines_of_json_are_told_mended_and_imported(type_: Type, orders: Look) -> None:
    good = {"panel": "acme", "order_id": 7}
    bad = {
        "[1]": "is no JSON object",
        '{"panel":': "is no JSON: Expecting value",
        "[" * 100_000: "is no JSON: nested too deeply",
        json.dumps(good | {"quantity": 1.5}): "quantity: '1.5' is no text and no whole number",
        json.dumps(good | {"link": ["x"]}): "link: '[\"x\"]' is no text",
        json.dumps(good | {"runs": True}): "runs: 'true' is no text",
        json.dumps(good | {"link": "\ud800"}): "is no Unicode text",
        json.dumps({"order_id": 7}): "names no panel",
        json.dumps(good | {"date": "x", "created": "y"}): "'date' and 'created' could both be ordered_at",
        json.dumps(good | {"ref": 250_000 * "x"}): "is longer than 200,000 characters",
    }
    Path("shop.jsonl").write_text("\n".join([json.dumps(good), *bad, json.dumps({**good, "order_id": "8"})]))
    code, out, err = type_("import shop.jsonl")
    assert (code, out) == (3, "shop.jsonl: 2 new, 0 known, 10 of 12 rows rejected.\n")
    for line, reason, told in zip(range(2, 12), bad.values(), err.splitlines(), strict=False):
        assert told.startswith(f"line {line}: ")
        assert reason in told
    rejected = [json.loads(line) for line in Path("shop.jsonl.rejects.jsonl").read_text().splitlines()]
    assert [one["line"] for one in rejected] == list(range(2, 12))
    Path("mended").write_text(json.dumps(rejected[3] | {"order_id": "9", "quantity": 2}))
    assert type_("import mended") == (0, "mended: 1 new, 0 known.\n", "")
    assert [row[1] for row in orders()] == ["7", "8", "9"]


def test_columns_called_line_and_reason_may_be_the_shops_own(type_: Type) -> None:
    Path("refunds.csv").write_text("panel,order_id,reason,line\nacme,1,late,4\nacme,a b,slow,5\n")
    code, _, err = type_("import refunds.csv")
    assert (code, "Unknown columns, left alone: 'reason', 'line'." in err) == (3, True)
    reason = "order_id: 'a b' cannot be the id of an order: no comma, no space, no quote"
    assert list(csv.reader(io.StringIO(Path("refunds.csv.rejects.csv").read_text()))) == [
        ["line", "reason", "panel", "order_id", "reason", "line"],
        ["3", reason, "acme", "a b", "slow", "5"],
    ]
    assert type_("import refunds.csv.rejects.csv")[0] == 1
    again = Path("refunds.csv.rejects.csv.rejects.csv").read_text()
    assert again == Path("refunds.csv.rejects.csv").read_text().replace("\n3,", "\n2,")


def test_of_many_bad_rows_the_first_are_told_and_all_are_written(type_: Type) -> None:
    Path("shop.csv").write_text("order_id\n" + "a b\n" * 50)
    code, out, err = type_("import shop.csv --panel acme --rejects away")
    assert (code, out) == (1, "shop.csv: 0 new, 0 known, 50 of 50 rows rejected.\n")
    assert err.count("cannot be the id") == 20
    assert "(30 more rejected rows)" in err
    assert len(Path("away").read_text().splitlines()) == 51


def test_no_file_of_rejects_is_overwritten(type_: Type) -> None:
    Path("shop.csv").write_text("panel,order_id\nacme,a b\n")
    Path("shop.csv.rejects.csv").write_text("mended by hand")
    assert type_("import shop.csv")[0] == 1
    assert Path("shop.csv.rejects.csv").read_text() == "mended by hand"
    assert "a b" in Path("shop.csv.rejects.2.csv").read_text()
    code, _, err = type_("import shop.csv --rejects shop.csv.rejects.csv")
    assert code == 2
    assert "is there already" in err
    code, _, err = type_("import shop.csv --rejects nowhere/rejects.csv")
    assert code == 1
    assert "Cannot write the rejected rows to nowhere/rejects.csv: No such file or directory" in err


def test_a_row_that_says_the_same_again_is_merged(type_: Type, orders: Look) -> None:
    Path("shop.csv").write_text(csv_file([ROWS[0], *ROWS, ROWS[2]]))
    assert type_("import shop.csv") == (0, "shop.csv: 3 new, 0 known, 2 repeated.\n", "")
    assert orders() == KNOWN


def test_what_is_known_otherwise_is_told_and_stays_and_what_is_unknown_is_filled_in(
    type_: Type, orders: Look, tmp_path: Path
) -> None:
    assert type_("track --panel acme 23501 ord_01HG9X7K --link elsewhere")[0] == 0
    sql(f"sqlite:///{tmp_path}/tracker.db", "UPDATE orders SET closed_at = tracked_at WHERE order_id = '23501'")
    Path("shop.csv").write_text(csv_file())
    code, out, err = type_("import shop.csv")
    assert code == 0
    assert out == "shop.csv: 1 new, 2 known, 2 filled in, 1 different in the file, 1 closed and left so.\n"
    difference = "link is elsewhere here, https://example.com/p/1 in the file; left as it is"
    assert err == f"line 2: acme/23501: {difference}\n"
    assert orders()[0] == (*KNOWN[0][:3], "elsewhere", *KNOWN[0][4:])
    assert sql(f"sqlite:///{tmp_path}/tracker.db", "SELECT count(closed_at) FROM orders") == [(1,)]


def test_strict_takes_in_everything_or_nothing(type_: Type, orders: Look) -> None:
    Path("shop.csv").write_text(csv_file([*ROWS, ("acme", "a b", *[""] * 7)]))
    code, out, err = type_("import shop.csv --strict")
    assert (code, out) == (1, "shop.csv: 1 of 4 rows rejected, nothing was taken in.\n")
    assert "line 6: order_id: 'a b'" in err
    assert "a b" in Path("shop.csv.rejects.csv").read_text()
    assert orders() == []
    Path("shop.csv").write_text(csv_file([*ROWS, ROWS[0]]))
    assert type_("import shop.csv --strict") == (0, "shop.csv: 3 new, 0 known, 1 repeated.\n", "")
    assert orders() == KNOWN


@pytest.mark.parametrize("strict", ["", "--strict"])
def test_stdin_is_read_as_a_file_is(
    type_: Type, orders: Look, monkeypatch: pytest.MonkeyPatch, strict: str
) -> None:
    def given() -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(Pipe(csv_file().encode()))))

    given()
    assert type_(f"import - {strict}") == (0, "stdin: 3 new, 0 known.\n", "")
    assert orders() == KNOWN
    given()
    code, out, _ = type_(f"import - --format jsonl {strict}")
    assert (code, out.endswith("rows rejected.\n") or "nothing was taken in" in out) == (1, True)
    assert Path("stdin.rejects.jsonl").exists()


class Pipe(io.BytesIO):
    """Bytes that come once, as through a pipe."""

    def seekable(self) -> bool:
        return False


def test_a_dry_run_says_what_would_become_of_the_rows(type_: Type, orders: Look) -> None:
    Path("shop.csv").write_text(csv_file([*ROWS, ("acme", "a b", *[""] * 7)]))
    assert type_("track --panel acme 23501")[0] == 0
    before = orders()
    code, out, err = type_("import shop.csv --dry-run")
    assert (code, "line 6: " in err) == (3, True)
    assert out == (
        "shop.csv: nothing was taken in; it would be 2 new, 1 known, 1 filled in, 1 of 4 rows rejected.\n"
    )
    assert orders() == before


def test_the_counts_are_told_as_json(type_: Type) -> None:
    Path("shop.csv").write_text(csv_file([*ROWS, ("acme", "a b", *[""] * 7)]))
    code, out, _ = type_("import shop.csv --json")
    assert code == 3
    assert json.loads(out) == {
        "file": "shop.csv", "taken_in": True, "rows": 4, "new": 3, "known": 0, "filled": 0, "differing": 0,
        "differences": 0, "closed": 0, "repeated": 0, "rejected": 1, "rejects": "shop.csv.rejects.csv",
    }  # fmt: skip
    code, out, _ = type_("import shop.csv --json --strict")
    told = json.loads(out)
    assert (code, told["taken_in"], told["rejects"]) == (1, False, "shop.csv.rejects.2.csv")


@pytest.mark.parametrize(
    ("content", "options", "said"),
    [
        (b"", "", "is empty"),
        (b"\n \n", "", "is empty"),
        (
            b"acme,23501\nacme,23502\n",
            "",
            "must name the columns, one of them order_id, for example panel,order_id,",
        ),
        (b"order_id,order_id\n1,2\n", "", "the columns 'order_id' and 'order_id' could both be order_id"),
        (b"order,id\n1,2\n", "", "the columns 'order' and 'id' could both be order_id"),
        (b"order_id\n1\n", "", "no column names the panel: say --panel PANEL"),
        (b'"panel,order_id\n1\n', "", "its first line has a quote that is never closed"),
        (b'[{"order_id": 1}]', "", "is one JSON document: write one object a line (jq -c '.[]' does that)"),
        ("panel,order_id\nacme,1\n".encode("utf-16"), "", "is UTF-16: save it as UTF-8"),
        (b"order_id\n1\n", "--panel acem", "Did you mean acme?"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused_with_the_remedy(
    type_: Type, orders: Look, content: bytes, options: str, said: str
) -> None:
    Path("shop.csv").write_bytes(content)
    code, out, err = type_(f"import shop.csv {options}")
    assert (code, out) == (78 if options else 2, "")
    assert said in err
    assert orders() == []


def test_a_file_that_is_not_there_is_said_to_be(type_: Type) -> None:
    code, out, err = type_("import nowhere.csv")
    assert (code, out) == (2, "")
    assert "Cannot read nowhere.csv: No such file or directory." in err


def test_a_stray_quote_costs_its_own_row_only(type_: Type, orders: Look) -> None:
    lines = [f"acme,{number},x\n" for number in range(3000)]
    lines[100] = 'acme,100,"x\n'
    lines[2000] = 'acme,2000,"x\n'
    lines[2001] = 'acme,2001,"y\n'
    Path("shop.csv").write_text("panel,order_id,link\n" + "".join(lines))
    code, out, err = type_("import shop.csv")
    assert (code, out) == (3, "shop.csv: 2997 new, 0 known, 3 of 3000 rows rejected.\n")
    assert [line.split(":")[0] for line in err.splitlines()[:3]] == ["line 102", "line 2002", "line 2003"]
    assert len(orders()) == 2997


def test_where_no_panel_is_configured_any_may_be_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKER_DATABASE_URL", f"sqlite:///{tmp_path}/new.db")
    monkeypatch.chdir(tmp_path)
    Path("shop.csv").write_text("panel,order_id\nanybody,1\n")
    assert typist(capsys)("import shop.csv") == (0, "shop.csv: 1 new, 0 known.\n", "")
    assert typist(capsys)("import shop.csv --panel any/body")[0] == 2


def test_what_went_in_before_a_fault_stays_and_is_told(
    type_: Type, orders: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("shop.csv").write_text("panel,order_id\n" + "".join(f"acme,{one}\n" for one in range(CHUNK + 5)))
    take_in = Database.take_in

    def fail_later(self: Database, panel: str, new: list[NewOrder], *, write: bool) -> object:
        if len(new) < CHUNK:
            raise DatabaseUnreachable("The disk is full.")
        return take_in(self, panel, new, write=write)

    monkeypatch.setattr(Database, "take_in", fail_later)
    code, out, err = type_("import shop.csv")
    assert (code, out) == (10, "")
    assert f"Ended early, after {CHUNK} rows; these are in." in err
    assert "The disk is full." in err
    assert len(orders()) == CHUNK
    monkeypatch.undo()


def test_a_terminal_shows_how_far_it_is_and_then_only_the_result(tmp_path: Path) -> None:
    config = configure(tmp_path, {"acme": "http://127.0.0.1:9"}, f"sqlite:///{tmp_path}/tracker.db")
    big = tmp_path / "big.csv"
    big.write_text("panel,order_id\n" + "".join(f"acme,{one}\n" for one in range(10_000)))
    with Terminal(["import", str(big), "--config", str(config)], columns=200) as terminal:
        assert terminal.ended() == 0
        assert b" rows" in terminal.raw
        shown = [line for line in terminal.everything() if line]
    assert [line.partition("big.csv")[2] for line in shown] == [": 10000 new, 0 known."]


def test_an_imported_order_is_as_one_that_was_tracked(tmp_path: Path) -> None:
    """Run as a process: what it prints is what a shop's script sees."""
    url = f"sqlite:///{tmp_path}/tracker.db"
    config = configure(tmp_path, {"acme": "http://127.0.0.1:9"}, url)
    (tmp_path / "one.csv").write_text("panel,order_id,ref\nacme,1,shop-1\n")
    began = datetime.now(UTC).isoformat(sep=" ")
    done = typed("import", str(tmp_path / "one.csv"), config=config)
    assert (done.returncode, done.stderr) == (0, "")
    assert typed_here("track", "--panel", "acme", "2", "--ref", "shop-1", "--config", str(config)) == 0
    columns = (
        "state, seq, misses, closed_at, settled_at, checked_at, ref, tracked_at = state_at, next_poll_at >= :at"
    )
    imported, tracked = sql(url, f"SELECT {columns} FROM orders ORDER BY order_id", at=began[:23])
    assert imported == tracked
