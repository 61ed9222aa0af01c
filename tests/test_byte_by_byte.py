"""A good reply of 100 orders, cut and flipped at every byte: read here, and sent by `python -m proof --long`."""

from collections.abc import Callable
from pathlib import Path

import pytest
from proof.table import Figure, Profile
from proof.wire import GOOD, cuts_read, cuts_sent, flips_read, flips_sent, good_again, stalls_sent
from wire_setting import Scene, proven_scene

pytestmark = pytest.mark.once


def test_a_reply_cut_at_any_byte_is_never_believed() -> None:
    assert cuts_read().times == len(GOOD)


def test_a_reply_with_a_flipped_bit_is_read_as_another_reader_reads_it() -> None:
    assert flips_read(Profile()).times > len(GOOD) / 3


@pytest.mark.parametrize("prove", [cuts_sent, flips_sent, stalls_sent])
def test_a_round_survives(prove: Callable[[Profile, Scene], Figure], migrated_file: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/tracker.db"
    (tmp_path / "tracker.db").write_bytes(migrated_file.read_bytes())
    with proven_scene(url) as at:
        good_again(at)
        assert prove(Profile(), at).times
