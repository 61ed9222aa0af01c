"""What is done now and then beside polling."""

import threading
import time

from simulation import until

from tracker.daemon.chores import REST, Chore, Chores
from tracker.daemon.trouble import Trouble
from tracker.errors import DatabaseUnreachable


def test_a_chore_that_fails_is_tried_again_soon_however_long_it_waited() -> None:
    """A file that is locked for half a minute must not put retention off for half an hour."""
    stopping, tries = threading.Event(), 0
    trouble = Trouble(stopping.set)

    def work() -> None:
        nonlocal tries
        tries += 1
        time.sleep(0.5)
        raise DatabaseUnreachable("locked")

    def tried_twice() -> bool:
        trouble.back()  # as the keeper notes when the database answers
        return tries == 2

    chores = Chores([Chore("lookout", 0.1, work)], trouble, stopping)
    thread = threading.Thread(target=chores.run)
    began = time.monotonic()
    thread.start()
    until(tried_twice, "a second try")
    stopping.set()
    thread.join()
    assert time.monotonic() - began < 0.5 * REST
