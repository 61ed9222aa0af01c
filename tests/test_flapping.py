"""A panel that flaps is remembered as if it never had; `python -m proof --long` does so in every dialect."""

from pathlib import Path

from proof.flapping import prove
from proof.table import Profile


def test_an_hour_of_flapping_leaves_the_history_as_it_was_served(migrated_file: Path, tmp_path: Path) -> None:
    (tmp_path / "tracker.db").write_bytes(migrated_file.read_bytes())
    [figure] = prove(Profile(), f"sqlite:///{tmp_path}/tracker.db")
    assert figure.times == 1
