"""The difference of two catalogs, and when a shrunken one is believed."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.catalog import AGREEING, Difference, Doubt, Known, ServiceChange, compare
from tracker.model import Service

FOLLOWERS = Service("1", "Followers", "Default", "First", Decimal("0.90"), 50, 10000, refill=True, cancel=False)


def catalog(*ids: str) -> list[Service]:
    return [FOLLOWERS._replace(service_id=one) for one in ids]


def known(services: Sequence[Service], gone: Sequence[str] = ()) -> dict[str, Known]:
    return {one.service_id: Known(one, gone=one.service_id in gone) for one in services}


def difference(before: dict[str, Known], told: Sequence[Service], doubt: Doubt | None = None) -> Difference:
    outcome = compare(before, told, doubt)
    assert isinstance(outcome, Difference)
    return outcome


def test_the_first_catalog_is_taken_as_it_is_and_changes_nothing() -> None:
    assert difference({}, catalog("1", "2")) == Difference(catalog("1", "2"), [], [])


def test_the_same_catalog_differs_in_nothing() -> None:
    assert difference(known(catalog("1", "2")), catalog("2", "1")) == Difference([], [], [])


def test_a_new_service_appears() -> None:
    found = difference(known(catalog("1")), catalog("1", "2"))
    assert found == Difference(catalog("2"), [], [ServiceChange("2", "appeared")])


def test_a_service_that_is_no_longer_told_is_gone_once() -> None:
    before = catalog("1", "2", "3")
    assert difference(known(before), catalog("1", "2")) == Difference([], ["3"], [ServiceChange("3", "gone")])
    assert difference(known(before, gone=["3"]), catalog("1", "2")) == Difference([], [], [])


def test_a_service_that_comes_back_returns_with_what_changed_meanwhile() -> None:
    dearer = FOLLOWERS._replace(service_id="2", rate=Decimal("1.10"))
    found = difference(known(catalog("1", "2"), gone=["2"]), [FOLLOWERS, dearer])
    assert found.seen == [dearer]
    assert found.changes == [ServiceChange("2", "returned"), ServiceChange("2", "rate", "0.9", "1.1")]


def test_a_service_that_comes_back_as_it_was_is_seen_again() -> None:
    found = difference(known(catalog("1", "2"), gone=["2"]), catalog("1", "2"))
    assert found == Difference(catalog("2"), [], [ServiceChange("2", "returned")])


@pytest.mark.parametrize(
    ("field", "value", "old", "new"),
    [
        ("name", "Real followers", "Followers", "Real followers"),
        ("type", "Package", "Default", "Package"),
        ("category", "Second", "First", "Second"),
        ("rate", Decimal("1E+1"), "0.9", "10"),
        ("rate", Decimal("1E-8"), "0.9", "0.00000001"),
        ("min", 0, "50", "0"),
        ("max", 5000, "10000", "5000"),
        ("refill", False, "true", "false"),
        ("cancel", True, "false", "true"),
    ],
)
def test_each_field_that_changed_is_a_change_with_its_old_and_new_value(
    field: str,
    value: Any,  # noqa: ANN401 - of any field
    old: str,
    new: str,
) -> None:
    changed = FOLLOWERS._replace(**{field: value})
    found = difference(known([FOLLOWERS]), [changed])
    assert found == Difference([changed], [], [ServiceChange("1", field, old, new)])


@pytest.mark.parametrize("field", ["type", "category", "rate", "min", "max", "refill", "cancel"])
def test_a_field_that_is_not_told_keeps_its_known_value_and_one_told_first_had_none(field: str) -> None:
    silent = FOLLOWERS._replace(**{field: None})  # type: ignore[arg-type]  # any of its fields
    assert difference(known([FOLLOWERS]), [silent]) == Difference([], [], [])
    [change] = difference(known([silent]), [FOLLOWERS]).changes
    assert (change.field, change.old) == (field, None)
    assert change.new is not None


def test_a_price_with_more_zeros_is_the_same_price() -> None:
    assert not difference(known([FOLLOWERS]), [FOLLOWERS._replace(rate=Decimal("0.9"))]).changes


def test_of_a_service_told_twice_the_first_counts() -> None:
    twice = [FOLLOWERS, FOLLOWERS._replace(name="Twin")]
    assert difference({}, twice).seen == [FOLLOWERS]
    assert not difference(known([FOLLOWERS]), twice).changes


def test_exactly_half_of_a_catalog_may_go_at_once() -> None:
    assert difference(known(catalog("1", "2", "3", "4")), catalog("1", "2")).gone == ["3", "4"]


@pytest.mark.parametrize("told", [[], ["1"], ["8", "9", "10", "11", "12"]])
def test_an_emptied_halved_or_exchanged_catalog_is_believed_when_three_replies_in_a_row_agree(
    told: list[str],
) -> None:
    before = known(catalog("1", "2", "3", "4", "5"))
    doubt: Doubt | None = None
    for times in range(1, AGREEING):
        outcome = compare(before, catalog(*told), doubt)
        assert isinstance(outcome, Doubt)
        assert outcome.times == times
        doubt = outcome
    found = difference(before, catalog(*told), doubt)
    assert found.gone == sorted(before.keys() - set(told))
    assert [one.service_id for one in found.seen] == sorted(set(told) - before.keys(), key=told.index)


def test_another_small_catalog_starts_the_count_again() -> None:
    before = known(catalog("1", "2", "3", "4", "5"))
    first = compare(before, catalog("1"), None)
    assert isinstance(first, Doubt)
    second = compare(before, catalog("2"), first)
    assert isinstance(second, Doubt)
    assert second.times == 1
    assert second.digest != first.digest


def test_a_doubted_catalog_may_come_in_any_order_and_with_other_prices() -> None:
    before = known(catalog("1", "2", "3", "4", "5"))
    first = compare(before, catalog("1", "2"), None)
    assert isinstance(first, Doubt)
    dearer = [one._replace(rate=Decimal(7)) for one in catalog("2", "1")]
    assert compare(before, dearer, first) == Doubt(first.digest, 2)


def test_services_that_are_gone_already_do_not_count_as_lost() -> None:
    before = known(catalog("1", "2", "3", "4"), gone=["2", "3", "4"])
    assert difference(before, catalog("1")) == Difference([], [], [])


def test_a_whole_catalog_after_a_doubt_is_taken_at_once() -> None:
    before = known(catalog("1", "2", "3"))
    assert difference(before, catalog("1", "2", "3"), Doubt("digest", 2)) == Difference([], [], [])


services = st.builds(
    Service,
    st.sampled_from("123456"),
    st.sampled_from(["Followers", "Likes"]),
    rate=st.none() | st.sampled_from([Decimal("0.9"), Decimal("0.90"), Decimal(1)]),
    min=st.none() | st.integers(0, 1),
    refill=st.none() | st.booleans(),
)


def written(before: dict[str, Known], found: Difference) -> dict[str, Known]:
    """Return what is known once the difference is written."""
    after = before | {one.service_id: Known(one) for one in found.seen}
    return after | {one: Known(after[one].service, gone=True) for one in found.gone}


@given(st.lists(st.lists(services, max_size=8), max_size=12))
def test_whatever_panels_tell_the_catalog_follows_and_a_repetition_changes_nothing(
    told: list[list[Service]],
) -> None:
    catalog_now: dict[str, Known] = {}
    doubt: Doubt | None = None
    for reply in told:
        outcome = compare(catalog_now, reply, doubt)
        if isinstance(outcome, Doubt):
            assert outcome.times < AGREEING
            doubt = outcome
            continue
        doubt = None
        catalog_now = written(catalog_now, outcome)
        here = {key for key, one in catalog_now.items() if not one.gone}
        assert here == {one.service_id for one in reply}
        assert compare(catalog_now, reply, None) == Difference([], [], [])
        for change in outcome.changes:
            assert change.old is None or change.old != change.new
