"""P7 as a property: whatever is followed, however fast and in which dialect, nobody waits longer than promised."""

from pathlib import Path

from hypothesis import HealthCheck, example, given, settings
from proof.progress import Case, cases, in_a_copy


@settings(
    max_examples=2, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(case=cases(most=100))
@example(case=Case(per_minute=1, many=300))
@example(case=Case(per_minute=30, many=150, bogus=20))
@example(case=Case(per_minute=2, many=150, poison=1))
def test_every_open_order_is_answered_within_twice_its_pace_or_a_sweep(case: Case, migrated_file: Path) -> None:
    lag = in_a_copy(f"sqlite:///{migrated_file}", case, hours=0.5)
    assert lag.share <= 1, lag
