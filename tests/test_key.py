"""Promise P8: the key goes nowhere. One is planted, everything is run, and everything is searched for it."""

import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import pytest
from cli_setting import Running, configure, typed_here
from raw_panel import RawPanel, ok
from simulation import until

from tracker.simulator import Simulator

PLANTED = "pl4nted+key/with=odd&bytes%0123456789"
SPELLINGS = [spelling.encode() for spelling in (PLANTED, quote(PLANTED), quote(PLANTED, safe=""))]

FAULTS = (("http-502", "redirect-307"), ("wrong-types", "not-json"))
"""What goes wrong with the balance, and with the catalog beside it."""


def leaks(text: bytes) -> bool:
    return any(spelling in text for spelling in SPELLINGS)


def suffer(panel: Simulator, faults: tuple[str, str]) -> None:
    """Have each fault happen once, and something asked after it."""
    before = panel.counts.copy()
    for action, fault in zip(("balance", "services"), faults, strict=True):
        panel.misbehave(fault, action=action, times=1)
    until(lambda: min((panel.counts - before)[each] for each in ("balance", "services")) > 1, str(faults))


@pytest.fixture
def config(tmp_path: Path) -> Path:
    config = configure(tmp_path, {"acme": "http://127.0.0.1:9/api/v2"}, f"sqlite:///{tmp_path}/tracker.db")
    (tmp_path / "panel.key").write_text(PLANTED)
    return config


def test_the_search_finds_a_key_that_was_written() -> None:
    assert leaks(f"key={quote(PLANTED, safe='')}&action=balance".encode())
    assert not leaks(b"key=[hidden]")


def test_a_planted_key_is_in_no_log_row_file_or_command_line(
    config: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    said, files = b"", list[bytes]()
    with Simulator(key=PLANTED, latency=0.01) as panel:
        config.write_text(config.read_text().replace("http://127.0.0.1:9/api/v2", panel.url))
        ids = [placed.order_id for placed in panel.world.spawn(20)]
        assert typed_here("track", "--panel", "acme", *ids, "--config", str(config)) == 0
        with Running(config) as running:
            running.until("round.finished")
            for faults in FAULTS:
                suffer(panel, faults)
            process = Path(f"/proc/{running.process.pid}")
            said += (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
            files += [path.read_bytes() for path in tmp_path.glob("tracker.db*")]  # its log still beside it
            running.signal()
            assert running.ended() == 0
            said += "".join(running.raw).encode()
        panel.misbehave("bad-key")
        for command in ("poll --all", "orders", "rounds --json", "anomalies --json", "config show", "db status"):
            typed_here(*command.split(), "--config", str(config))
        out, err = capfd.readouterr()
        said += (out + err).encode()
    assert b"round.failed" in said
    assert b"key_refused" in said
    assert not leaks(said)
    assert len(files) >= 2, "the database and its log"
    files += [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.name != "panel.key"]
    assert not any(map(leaks, files))


@pytest.mark.parametrize("status", ["200 OK", "400 Bad Request", "502 Bad Gateway"])
def test_a_panel_that_quotes_the_key_back_does_not_get_it_written(
    config: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], status: str
) -> None:
    body = f"<p>Unknown parameters key={quote(PLANTED, safe='')} {PLANTED}</p>".encode()
    with RawPanel(lambda _: ok(body, status=status)) as panel:
        config.write_text(config.read_text().replace("http://127.0.0.1:9/api/v2", panel.url))
        assert typed_here("poll", "--config", str(config)) != 0
        assert panel.asked[0].fields["key"] == PLANTED
    out, err = capfd.readouterr()
    assert not leaks((out + err).encode())
    assert not any(leaks(path.read_bytes()) for path in tmp_path.glob("tracker.db*"))


def test_a_crash_does_not_print_the_key(config: Path) -> None:
    code = f"""
import tracker.daemon.post
def crash(*arguments, **options): raise RuntimeError("a bug", tracker.daemon.post.PanelSettings)
tracker.daemon.post.balance = crash
from tracker.cli.main import run
run(["poll", "balance", "--config", {str(config)!r}])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert b"RuntimeError: ('a bug'" in done.stderr
    assert not leaks(done.stdout + done.stderr)
