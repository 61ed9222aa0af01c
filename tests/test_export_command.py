"""`tracker export` as people type it: what it says, and stopping anywhere and going on there."""

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from cli_setting import TRACKER, Type, typist
from conftest import Postgres
from export_setting import add_history, add_orders, exported
from pyarrow import parquet
from simulation import PATIENCE
from terminal import Terminal
from warm import Warm

from tracker.cli.asking import export_files
from tracker.cli.asking.export_run import run
from tracker.store.database import Database, opened
from tracker.store.reading import relations


@pytest.fixture
def small_steps() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(relations, "ROWS_A_STEP", 3)
        patch.setattr(relations, "ORDERS_A_STEP", 2)
        yield


@pytest.mark.usefixtures("small_steps")
@pytest.mark.parametrize("name", ["orders", "transitions", "services", "rounds", "order_timeline", "anomalies"])
@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_stopped_after_any_step_and_gone_on_with_it_is_the_same_file(
    database: Database, tmp_path: Path, name: str, form: str
) -> None:
    for number in range(8):
        add_history(database, number)
    whole = exported(database, name, form, tmp_path / "whole")
    cursors = [step.cursor for step in database.export(name).steps()]
    assert len(cursors) > 2
    for cursor in cursors:
        rest = run(database.export(name), name, f"{tmp_path}/rest", form, after=cursor, append=False)
        assert rest.fault is None
        heading, *lines = (tmp_path / "rest").read_bytes().splitlines(keepends=True) or [b""]
        rows = lines if form == "csv" else [heading, *lines]
        assert whole.endswith(b"".join(rows))
        (tmp_path / "out").write_bytes(whole[: len(whole) - len(b"".join(rows))] + b"half a ro")
        done = run(database.export(name), name, f"{tmp_path}/out", form, after=cursor, append=True)
        assert done.fault is None
        assert (tmp_path / "out").read_bytes() == whole


@pytest.fixture
def type_(
    sqlite_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Type:
    """Type a command beside a database of eight orders."""
    for number in range(8):
        add_history(sqlite_database, number)
    monkeypatch.setenv("TRACKER_DATABASE_URL", str(sqlite_database._engine.url))
    monkeypatch.chdir(tmp_path)
    return typist(capsys)


def hint(told: str) -> str:
    """Return the line to type that stands at the end of a message."""
    return told.strip().splitlines()[0].rpartition(": tracker ")[2]


def test_at_its_end_it_says_how_many_rows_and_how_to_get_what_is_new(type_: Type, tmp_path: Path) -> None:
    code, out, err = type_("export transitions t.csv --panel acme")
    assert (code, out) == (0, "")
    assert err.startswith("16 rows of transitions in ")
    assert hint(err).startswith("export transitions t-newer.csv --panel acme --since 20")
    code, _, err = type_(hint(err))
    assert code == 0
    assert err.startswith("0 rows")
    assert (tmp_path / "t-newer.csv").read_text().count("\n") == 1
    assert "what is new" not in type_("export leases l.csv")[2]
    assert "what is new" not in type_("export transitions t.csv --until 2026-11-01")[2]


def test_the_format_is_told_by_the_name_of_the_file_or_by_hand(type_: Type, tmp_path: Path) -> None:
    for name in ("a.csv", "a.jsonl", "a.ndjson", "a.parquet", "a", "a.txt"):
        assert type_(f"export orders {name}")[0] == 0
    assert json.loads((tmp_path / "a.jsonl").read_text().splitlines()[0])["order_id"] == "0"
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "a.ndjson").read_bytes()
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "a.txt").read_bytes() == (tmp_path / "a").read_bytes()
    assert parquet.read_table(tmp_path / "a.parquet").num_rows == 8
    code, out, _ = type_("export orders - --format jsonl --columns order_id")
    assert (code, out.splitlines()[0]) == (0, '{"order_id": "0"}')
    assert type_("export daily_spend -")[1].count("\n") == 2


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("export foo x.csv", 2, "'foo' is not one of"),
        ("export orders", 2, "Missing argument"),
        ("export orders x.csv --columns foo", 2, "orders has no column foo. It has: id, panel"),
        ("export orders x.csv --after 3,4", 2, "--after 3,4: no cursor of orders. Give id as"),
        ("export transitions x.csv --after now", 2, "Give order_key,seq as"),
        ("export daily_spend x.csv --after 3", 2, "computed as a whole"),
        ("export leases x.csv --since 3d", 2, "leases has no column of time"),
        ("export orders x.csv --since soon", 2, "is no moment"),
        ("export orders x.csv --append --after 3", 2, "There is neither x.csv.part nor x.csv"),
        ("export orders - --append", 2, "leave --append out"),
        ("export orders x.csv --after 9223372036854775808", 2, "no cursor of orders"),
        ("export rounds x.csv --after 2026-01-01T00:00:00,r", 2, "no cursor of rounds"),
        ("export services x.csv --after acme,%00", 2, "no cursor of services"),
        ("export services x.csv --after acme,%ff", 2, "no cursor of services"),
        ("export transitions x.csv --append", 2, "add --after, with the order_key,seq of the last whole row"),
        ("export daily_spend x.csv --append", 2, "every row of daily_spend again: add --since"),
        ("export orders .", 1, ". is a folder: name a file in it"),
        ("export orders x.parquet --append", 2, "leave --append out"),
        ("export orders - --format parquet", 2, "Parquet needs a file"),
        ("export orders nowhere/x.csv", 1, "Cannot write nowhere/x.csv.part: No such file or directory."),
    ],
)
def test_what_cannot_be_meant_is_said_and_leaves_no_file(
    type_: Type, tmp_path: Path, line: str, code: int, said: str
) -> None:
    got, out, err = type_(line)
    assert (got, out) == (code, "")
    assert said in err
    assert sorted(file.name for file in tmp_path.iterdir() if "tracker.db" not in file.name) == []


def test_a_pipe_or_a_device_is_not_replaced_by_a_file(type_: Type, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    code, _, err = type_("export orders pipe")
    assert (code, "pipe is no file that can be replaced: write `-`" in err) == (1, True)
    assert (tmp_path / "pipe").is_fifo()
    assert not (tmp_path / "pipe.part").exists()


def test_other_columns_are_not_added_to_a_file(type_: Type, tmp_path: Path) -> None:
    for name in ("x.csv", "x.jsonl"):
        assert type_(f"export orders {name} --columns order_id,state")[0] == 0
        with (tmp_path / name).open("ab") as file:
            file.write(b"no end of a line")
        before = (tmp_path / name).read_bytes()
        code, _, err = type_(f"export orders {name} --append --after 3")
        assert code == 2
        assert f"{name} has other columns" in err
        assert (tmp_path / name).read_bytes() == before


def test_without_pyarrow_parquet_is_refused_with_the_way_to_get_it(
    type_: Type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    code, _, err = type_("export orders x.parquet")
    assert code == 1
    assert "pip install 'order-tracker[parquet]'" in err
    assert not list(tmp_path.glob("x*"))


@pytest.mark.usefixtures("small_steps")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("name", ["t.csv", "t.jsonl", "t.parquet"])
def test_a_signal_leaves_whole_rows_and_the_line_that_goes_on(
    type_: Type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, number: int
) -> None:
    assert type_(f"export transitions whole{Path(name).suffix}")[0] == 0
    form = export_files.FILES[Path(name).suffix[1:]]
    write, written = form._write, count(1)

    def interrupted(self: Any, step: Any) -> int:  # noqa: ANN401  # passed on
        if next(written) == 3:
            os.kill(os.getpid(), number)
        return write(self, step)

    monkeypatch.setattr(form, "_write", interrupted)
    code, _, err = type_(f"export transitions {name}")
    assert code == 128 + number
    assert err.startswith("Stopped after 9 rows of transitions. ")
    assert not (tmp_path / name).exists()
    code, _, err = type_(hint(err))
    assert (code, err.split()[0]) == (0, "7")
    assert "what is new" not in err, "since when, the part that was written first would have to tell"
    if name == "t.parquet":
        parts = [parquet.read_table(tmp_path / part).to_pylist() for part in ("t.parquet.part", "t-rest.parquet")]
        assert parts[0] + parts[1] == parquet.read_table(tmp_path / "whole.parquet").to_pylist()
    else:
        assert (tmp_path / name).read_bytes() == (tmp_path / f"whole{Path(name).suffix}").read_bytes()
        assert not (tmp_path / f"{name}.part").exists()


@pytest.mark.usefixtures("small_steps")
def test_a_database_that_goes_away_leaves_what_was_read_and_the_line_that_goes_on(
    postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name = postgres.create("migrated")
    with opened(postgres.url(name)) as database:
        for number in range(8):
            add_history(database, number)
    monkeypatch.setenv("TRACKER_DATABASE_URL", postgres.url(name))
    monkeypatch.chdir(tmp_path)
    line = typist(capsys)
    assert line("export orders whole.csv")[0] == 0
    write, written = export_files.CsvFile._write, count(1)

    def cut(self: export_files.CsvFile, step: Any) -> int:  # noqa: ANN401  # passed on
        if next(written) == 2:
            postgres.run(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            postgres.run(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
        return write(self, step)

    monkeypatch.setattr(export_files.CsvFile, "_write", cut)
    code, _, err = line("export orders x.csv")
    assert code == 10
    assert err.startswith("Stopped after 3 rows of orders. x.csv.part has them. Go on: tracker export")
    assert "Check that the server runs" in err
    postgres.run(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    assert line(hint(err))[0] == 0
    assert (tmp_path / "x.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    postgres.drop(name)


def test_a_full_disk_leaves_whole_rows_and_the_line_that_goes_on(
    type_: Type, sqlite_database: Database, tmp_path: Path
) -> None:
    add_orders(sqlite_database, *map(str, range(100, 25_000)))
    assert type_("export orders whole.csv")[0] == 0
    full = subprocess.run(
        [*TRACKER, "export", "orders", "x.csv"],
        capture_output=True,
        text=True,
        check=False,
        # No file may grow beyond this: the second step does not fit.
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000)),  # no threads here
    )
    assert full.returncode == 1
    assert "tracker: Cannot write x.csv.part: File too large. Make room" in full.stderr
    part = (tmp_path / "x.csv.part").read_bytes()
    assert (tmp_path / "whole.csv").read_bytes().startswith(part)
    assert part.endswith(b"\n")
    assert type_(hint(full.stderr))[0] == 0
    assert (tmp_path / "x.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_a_reader_that_has_enough_ends_it_quietly(type_: Type, sqlite_database: Database) -> None:
    del type_
    add_orders(sqlite_database, *map(str, range(100, 12_000)))
    with subprocess.Popen(["head", "-2"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as head:
        assert head.stdin is not None
        with Warm(["export", "orders", "-"], stdout=head.stdin, stderr=subprocess.PIPE) as process:
            out, _ = head.communicate()
            _, err = process.communicate(PATIENCE)
    assert (out.count("\n"), err) == (2, "")


def test_on_a_terminal_a_bar_shows_how_far_it_is_and_leaves_nothing_behind(type_: Type, tmp_path: Path) -> None:
    del type_
    with Terminal(["export", "transitions", "t.csv"], 100, 24, tmp_path) as terminal:
        assert terminal.ended() == 0
        shown = [line for line in terminal.everything() if line]
        assert "16 rows" in terminal.raw.decode()
    assert shown[0].startswith("16 rows of transitions in")
    assert (tmp_path / "t.csv").read_text().count("\n") == 17
