"""Promise P4: whatever a panel replies, no order changes unless it was understood, and nobody sees a traceback."""

from pathlib import Path

import pytest
from cli_setting import KEY, configure, sql, typed_here
from promises import broken, remembered, without_repeats

from tracker.simulator import FAULT_NAMES, ManualClock, Simulator
from tracker.store.database import opened

TOO_LONG = {"stall"}
"""Lasts until the deadline of 30 s: `test_transport_faults` has it with a shorter one."""

HEALED = {"php-notice", "slow-body", "slow-headers"}
"""Odd, and still a whole answer."""


@pytest.mark.parametrize("fault", [name for name in FAULT_NAMES if name not in TOO_LONG])
def test_a_reply_changes_no_order_unless_it_was_understood(
    fault: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    url, clock = f"sqlite:///{tmp_path}/tracker.db", ManualClock()
    with Simulator(key=KEY, seed=1, clock=clock, drip=0.001) as panel, opened(url, create=True) as database:
        config = ["--config", str(configure(tmp_path, {"acme": panel.url}, url))]
        ids = [placed.order_id for placed in panel.world.spawn(20)]
        assert typed_here("track", "--panel", "acme", *ids, *config) == 0
        assert typed_here("poll", "statuses", *config) == 0
        clock.advance(3600)
        panel.misbehave(fault)
        capfd.readouterr()
        code = typed_here("poll", "statuses", "--all", *config)
        said = capfd.readouterr()
        assert "Traceback" not in said.out + said.err
        assert code in {0, 1, 4, 5}
        if fault in HEALED:
            assert code == 0
        for (_, order_id), history in remembered(database, url).items():
            assert history == without_repeats(panel.served(order_id)), order_id
        told = sql(url, "SELECT outcome, error, anomalies FROM rounds WHERE kind = 'statuses' ORDER BY started_at")
        assert code == 0 or (told[-1].outcome != "ok" and told[-1].error), "a failure that says nothing"
        understood = fault in HEALED or fault in {"backwards", "unknown-word"} or "catalog" in fault
        traces = [row for row in told[1:] if row.outcome != "ok" or row.anomalies]
        assert understood or traces, "a bad reply that left no trace"
    assert broken(url) == {}
