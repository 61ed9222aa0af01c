"""The alert rules: well-formed, each tested to fire and to keep quiet, and about metrics that there really are."""

import re
import shutil
import subprocess
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from tracker.cli.main import COMMANDS
from tracker.daemon.health.metrics import Known, Metrics
from tracker.daemon.health.vitality import Configured, examine
from tracker.daemon.status import DaemonStatus, Figures, PanelStatus, Requests
from tracker.store.reading.panel_glance import PanelGlance
from tracker.store.reading.vitals import PanelVitals, Size, Tally

pytestmark = pytest.mark.once

DEPLOY = Path(__file__).parents[1] / "deploy"
RULES = (DEPLOY / "alerts.yml").read_text()
NAMES = re.findall(r"- alert: (\w+)", RULES)


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run promtool in the folder of the rules; skips, with the reason, where there is none."""
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is not installed (Debian: apt install prometheus): the alert rules were not run")
    return subprocess.run([found, *arguments], cwd=DEPLOY, capture_output=True, text=True, check=False)


def scrape() -> str:
    """Return a scrape in which every metric has a value."""
    requests = {("status", "ok"): Requests(2, 0.5, (2, *[0] * 11))}
    figures = Figures(3, requests)
    status = DaemonStatus(
        "host/1", True, True, (), (PanelStatus("acme", "leading", per_minute=60.0, figures=figures),)
    )
    seen = PanelGlance("acme", holder="host/1", balance=Decimal(5), currency="USD")
    vitals = [PanelVitals(seen, open=3)]
    now = datetime.now(UTC)
    health = examine(vitals, [Configured("acme")], now)
    tally = Tally({("acme", "pending"): 3}, {"acme": 4}, {("acme", "absent"): 1})
    known = Known(status, health, vitals, tally, Size(10, 20), now, reachable=True)
    return Metrics().text(known).decode()


def test_the_rules_are_well_formed() -> None:
    done = promtool("check", "rules", "alerts.yml")
    assert (done.returncode, f"{len(NAMES)} rules found" in done.stdout) == (0, True), done.stdout + done.stderr


def test_the_rules_fire_when_they_should_and_only_then() -> None:
    done = promtool("test", "rules", "alerts_test.yml")
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_rule_says_what_it_means_and_what_to_do_and_is_tested() -> None:
    assert len(NAMES) == len(set(NAMES)) > 10
    for field in ("expr", "severity", "summary", "description", "remedy"):
        assert len(re.findall(rf"\b{field}: ", RULES)) >= len(NAMES), field
    tested = (DEPLOY / "alerts_test.yml").read_text()
    assert [name for name in NAMES if f'alertname="{name}"' not in tested] == []


def test_rules_are_about_metrics_that_are_told_and_remedies_about_commands_that_there_are() -> None:
    told = set(re.findall(r"^(tracker_\w+?)(?:_bucket|_count|_sum)?\{?[ {]", scrape(), re.MULTILINE))
    assert len(told) > 20
    assert set(re.findall(r"\btracker_[a-z_]+\b", RULES)) - told == set()
    assert set(re.findall(r"`tracker ([a-z]+)", RULES)) - {*COMMANDS, "check"} == set()
