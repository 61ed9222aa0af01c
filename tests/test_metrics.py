"""What the daemon tells programs that watch it: real scrapes of a real daemon, parsed as Prometheus does."""

import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from cli_setting import KEY, daemon_in_a_thread, settings_of
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from raw_panel import RawPanel, ok
from simulation import PATIENCE, until

from tracker.daemon.health.metrics import Known, Metrics, Rising
from tracker.daemon.health.onlooker import Onlooker
from tracker.daemon.health.pages import PATHS, serving
from tracker.daemon.health.vitality import Health
from tracker.daemon.service import Daemon
from tracker.daemon.status import DaemonStatus, PanelStatus
from tracker.errors import DatabaseUnreachable
from tracker.settings import Address, Every, PanelSettings, Secret
from tracker.simulator import Simulator
from tracker.store.database import Database, opened
from tracker.store.following.tracking import NewOrder
from tracker.store.reading.vitals import Tally


class Scraped:
    """One scrape, parsed."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.families: dict[str, Metric] = {one.name: one for one in text_string_to_metric_families(text)}
        self._samples = {
            (each.name, frozenset(each.labels.items())): each.value
            for one in self.families.values()
            for each in one.samples
        }

    def value(self, name: str, **labels: str) -> float | None:
        """Return one sample; None where there is none."""
        return self._samples.get((name, frozenset(labels.items())))

    @property
    def labels(self) -> set[str]:
        """Return all values of all labels."""
        return {value for _, labels in self._samples for _, value in labels}


class Watching:
    """Asks the pages of one daemon."""

    def __init__(self, port: int) -> None:
        self._at = f"http://127.0.0.1:{port}"

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self._at + path, trust_env=False, verify=False, timeout=PATIENCE)  # no TLS to set up

    def scrape(self) -> Scraped:
        reply = self.get("/metrics")
        assert reply.status_code == 200
        assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")
        return Scraped(reply.text)

    def health(self) -> tuple[int, Any]:
        reply = self.get("/healthz")
        return reply.status_code, reply.json()


@contextmanager
def watched(database: Database, *panels: PanelSettings) -> Iterator[tuple[Watching, Daemon]]:
    """Run a daemon in a thread, with its endpoint."""
    with (
        daemon_in_a_thread(database, panels) as (daemon, _),
        serving(Address("127.0.0.1", 0), database, daemon.status) as port,
    ):
        assert port is not None
        yield Watching(port), daemon


@pytest.fixture
def panel() -> Iterator[Simulator]:
    with Simulator(key=KEY) as panel:
        panel.world.spawn(40)
        yield panel


def follow(database: Database, panel: Simulator) -> list[str]:
    ids = [placed.order_id for placed in panel.world.spawn(40)]
    database.track("acme", [NewOrder(one) for one in ids])
    return ids


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at the database at each scrape, however short ago the last look was."""
    monkeypatch.setattr("tracker.daemon.health.onlooker.REST", 0)
    monkeypatch.setattr("tracker.daemon.health.pages.FRESH", 0.0)


@pytest.mark.usefixtures("eager")
def test_a_scrape_of_a_daemon_at_work_tells_all_of_it(database: Database, panel: Simulator) -> None:
    ids = follow(database, panel)
    with watched(database, settings_of(panel, "acme")) as (watching, _):
        until(lambda: watching.get("/readyz").status_code == 200, "ready")
        until(lambda: watching.scrape().value("tracker_orders_due", panel="acme") == 0, "every order was asked")
        until(lambda: (watching.scrape().value("tracker_balance", panel="acme", currency="USD") or 0) > 0, "money")
        until(
            lambda: (
                watching.scrape().value("tracker_requests_total", panel="acme", action="services", outcome="ok")
                is not None
            ),
            "a catalog",
        )
        scraped = watching.scrape()
        value = scraped.value
        assert value("tracker_lease_leading", panel="acme") == 1
        assert value("tracker_database_up") == 1
        assert (value("tracker_database_size_bytes") or 0) > 50_000
        assert (value("tracker_orders_followed", panel="acme") or 0) >= len(ids), "and their children"
        assert value("tracker_orders_late", panel="acme") == 0
        assert value("tracker_interval_seconds", panel="acme", kind="balance") == 1
        assert value("tracker_intents_unknown", panel="acme") == 0
        assert value("tracker_key_refused", panel="acme") == 0
        assert 0 < (value("tracker_budget_used_ratio", panel="acme") or 0) < 1
        for kind in ("statuses", "refills", "balance", "catalog"):
            at = value("tracker_last_success_timestamp_seconds", panel="acme", kind=kind)
            assert abs(datetime.now(UTC).timestamp() - (at or 0)) < 60, kind
        states = [one for one in scraped.families["tracker_orders"].samples if one.labels["panel"] == "acme"]
        assert sum(one.value for one in states) >= len(ids)
        assert (
            value("tracker_requests_total", panel="acme", action="status", outcome="ok")
            == value("tracker_request_duration_seconds_count", panel="acme", action="status")
            == value("tracker_request_duration_seconds_bucket", panel="acme", action="status", le="+Inf")
        )
        assert not scraped.labels & {*ids}
        assert scraped.families["tracker_build_info"].samples[0].labels["version"]
        status, told = watching.health()
        assert (status, told["healthy"], told["daemon"]["panels"]) == (200, True, {"acme": "leading"})


def test_the_requests_told_are_those_that_the_panel_saw(sqlite_database: Database, panel: Simulator) -> None:
    follow(sqlite_database, panel)
    with watched(sqlite_database, settings_of(panel, "acme")) as (watching, daemon):
        until(lambda: panel.counts["status"] > 0 and panel.counts["balance"] > 1, "requests of two kinds")
        daemon.stopping.set()
        until(lambda: not any(thread.name == "daemon" for thread in threading.enumerate()), "the daemon's end")
        scraped = watching.scrape()
        for action in ("status", "balance", "services"):
            sent = {
                one.labels["outcome"]: one.value
                for one in scraped.families["tracker_requests"].samples
                if one.name.endswith("_total") and one.labels["action"] == action
            }
            cut_off = sent.pop("stopped", 0)  # of these, nobody can know whether the panel saw them
            assert sum(sent.values()) <= panel.counts[action] <= sum(sent.values()) + cut_off


@pytest.mark.usefixtures("eager")
def test_what_is_scraped_passes_the_check_of_promtool(sqlite_database: Database, panel: Simulator) -> None:
    if (promtool := shutil.which("promtool")) is None:
        pytest.skip("promtool is not installed (Debian: apt install prometheus)")
    follow(sqlite_database, panel)
    with watched(sqlite_database, settings_of(panel, "acme")) as (watching, _):
        until(lambda: "tracker_balance{" in watching.scrape().text, "a whole scrape")
        text = watching.scrape().text
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_key_is_on_no_page_even_where_the_panel_quotes_it(sqlite_database: Database) -> None:
    body = f"<p>unknown parameters key={KEY} {KEY}</p>".encode()
    with RawPanel(lambda _: ok(body, status="502 Bad Gateway")) as panel:
        settings = PanelSettings("acme", panel.url, Secret(KEY), None, 6000.0)
        with watched(sqlite_database, settings) as (watching, daemon):
            until(lambda: len(daemon.status().panels[0].figures.failed) > 1, "two failures")
            paths = (*PATHS, "/none", f"/{KEY[:5]}")
            text = ""

            def said() -> bool:
                nonlocal text
                text = "".join(str(page.headers) + page.text for page in map(watching.get, paths))
                return "HTTP 502" in text and 'outcome="server"' in text

            until(said, "what the panel answered")
            assert watching.health()[0] == 503
            assert KEY not in text


def test_scrapes_from_many_at_once_hold_up_neither_each_other_nor_polling(
    database: Database, panel: Simulator
) -> None:
    follow(database, panel)
    over = threading.Event()
    scrapes: list[str] = []
    with watched(database, settings_of(panel, "acme")) as (watching, _):
        until(lambda: panel.counts["balance"] > 0, "a first round")

        def insist() -> None:
            while not over.is_set():
                scrapes.append(watching.get("/metrics").text)

        threads = [threading.Thread(target=insist) for _ in range(6)]
        for thread in threads:
            thread.start()
        before = panel.counts["balance"]
        until(lambda: len(scrapes) > 60 and panel.counts["balance"] >= before + 2, "both go on")
        over.set()
        for thread in threads:
            thread.join()
    assert all('tracker_lease_leading{panel="acme"} 1.0' in one for one in scrapes)


def test_a_second_daemon_stands_by_and_is_as_healthy_as_the_first(
    sqlite_database: Database, panel: Simulator
) -> None:
    settings = settings_of(panel, "acme")
    with (
        watched(sqlite_database, settings) as (first, leading),
        watched(sqlite_database, settings) as (second, standing_by),
    ):
        until(lambda: leading.started.is_set() and standing_by.started.is_set(), "both are ready")
        told = sorted(one.scrape().value("tracker_lease_leading", panel="acme") or 0 for one in (first, second))
        assert told == [0, 1]
        assert [one.get("/readyz").status_code for one in (first, second)] == [200, 200]
        assert [one.health()[0] for one in (first, second)] == [200, 200]
        kinds = "tracker_last_success_timestamp_seconds"
        assert sorted(len(one.scrape().families[kinds].samples) for one in (first, second)) == [0, 4]


def test_before_it_is_ready_it_says_so_and_looks_at_no_table(tmp_path: Path, panel: Simulator) -> None:
    with opened(f"sqlite:///{tmp_path}/empty.db", create=True) as database:
        daemon = Daemon(database, [settings_of(panel, "acme")], Every())
        with serving(Address("127.0.0.1", 0), database, daemon.status) as port:
            assert port is not None
            watching = Watching(port)
            assert watching.get("/readyz").status_code == 503
            status, told = watching.health()
            assert (status, told["findings"][0]["what"]) == (503, "the daemon is still starting")
            assert watching.scrape().value("tracker_database_up") == 0
            assert watching.get("/other").status_code == 404


# What is slow


def test_a_look_that_hangs_is_waited_for_only_so_long_and_told_as_an_error() -> None:
    hangs, go_on = threading.Event(), threading.Event()

    def look() -> int:
        hangs.set()
        assert go_on.wait(PATIENCE)
        return 7

    onlooker = Onlooker("test", look, fresh=5.0)
    assert onlooker.seen(0.05).error == "no answer for 0 s"
    assert hangs.wait(PATIENCE)
    assert onlooker.seen(0.05).value is None
    go_on.set()
    assert onlooker.seen(PATIENCE).value == 7
    onlooker.stop()


def test_a_look_that_fails_keeps_the_last_value_and_says_why() -> None:
    told: list[int] = []

    def look() -> int:
        if told:
            raise DatabaseUnreachable("it is away")
        told.append(1)
        return 1

    onlooker = Onlooker("test", look, fresh=0.0)
    first = onlooker.seen(PATIENCE)
    assert (first.value, first.error) == (1, None)
    until(lambda: onlooker.seen(PATIENCE).error is not None, "a second look")
    assert onlooker.seen(PATIENCE)[:] == (1, first.at, "it is away")
    onlooker.stop()


def test_nobody_asks_so_nobody_looks_and_an_answer_stands_while_it_rests() -> None:
    looks: list[int] = []
    onlooker = Onlooker("test", lambda: looks.append(1), fresh=3600.0)
    assert looks == []
    for _ in range(5):
        onlooker.seen(PATIENCE)
    assert looks == [1]
    onlooker.stop()


def test_what_was_added_since_the_first_look_is_counted_and_a_paused_panel_wants_no_leader() -> None:
    panels = (PanelStatus("acme", "standing_by"), PanelStatus("rest", "paused"))
    status = DaemonStatus("host/1", ready=True, reachable=True, stuck=(), panels=panels)
    health = Health(datetime.now(UTC), ())
    metrics = Metrics()
    for count in (4, 9):
        tally = Tally({}, {"acme": count}, {("acme", "absent"): 2 * count})
        scraped = Scraped(metrics.text(Known(status, health, tally=tally)).decode())
    assert scraped.value("tracker_transitions_total", panel="acme") == 5
    assert scraped.value("tracker_anomalies_total", panel="acme", kind="absent") == 10
    assert scraped.value("tracker_lease_leading", panel="acme") == 0
    assert scraped.value("tracker_lease_leading", panel="rest") is None


def test_counters_made_of_sums_only_rise() -> None:
    rising = Rising()
    assert rising.totals() == []
    for now in ({("a",): 100, ("b",): 5}, {("a",): 103}, {("a",): 50, ("c",): 2}, {("a",): 51, ("b",): 1}):
        rising.look(now.items())
    assert rising.totals() == [(("a",), 4), (("b",), 1), (("c",), 2)]


@pytest.mark.usefixtures("eager")
def test_a_database_that_goes_away_is_bad_health_with_the_last_figures_kept(
    sqlite_database: Database, panel: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    with watched(sqlite_database, settings_of(panel, "acme")) as (watching, _):
        until(lambda: watching.health()[0] == 200, "good health")

        def away(*_: object) -> None:
            raise DatabaseUnreachable("sqlite:///t.db: database is locked.")

        monkeypatch.setattr(sqlite_database, "vitals", away)
        until(lambda: watching.health()[0] == 503, "bad health")
        told = watching.health()[1]
        assert told["findings"][0]["what"] == "the database cannot be read: sqlite:///t.db: database is locked."
        scraped = watching.scrape()
        assert scraped.value("tracker_database_up") == 0
        assert scraped.value("tracker_lease_leading", panel="acme") == 1
        assert scraped.value("tracker_orders_followed", panel="acme") == 0
