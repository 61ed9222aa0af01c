"""Why some mutants live is said of the code as it is; `python -m proof --long --only mutants` makes them."""

import pytest
from proof.mutants import PROJECT, TESTS, explained


@pytest.mark.parametrize("module", TESTS)
def test_each_explained_mutant_changes_a_line_that_is_there(module: str) -> None:
    assert all((PROJECT / "tests" / name).is_file() for name in TESTS[module])
    lines = " ".join(line.strip() for line in (PROJECT / module).read_text(encoding="utf-8").splitlines())
    gone = [mutant.was for mutant in explained() if mutant.module == module and mutant.was not in lines]
    assert not gone, "explain what the new line's mutants do, or kill them"


def test_every_explanation_is_one() -> None:
    assert {mutant.module for mutant in explained()} <= set(TESTS)
    assert all(mutant.was != mutant.became and len(why) > 20 for mutant, why in explained().items())
