"""The live screen of `tracker watch` and of the demo: pictures on a terminal, plain lines in a pipe.

Everything shown is read back from the database, as any other reader would.
"""

import io
import os
import sys
import threading
from collections.abc import Iterable

from tracker import logs
from tracker.cli.working.screen.lookout import Subject
from tracker.cli.working.screen.plain import tell
from tracker.store.database import Database

__all__ = ["Subject", "show"]


def show(database: Database, subject: Subject, stop: threading.Event, secrets: Iterable[str] = ()) -> int:
    """Show `database` until the user quits, `stop` is set or the time of `subject` is up; return the exit code."""
    if not _can_draw():
        tell(database, subject, stop)
        return 0
    from tracker.cli.working.screen.app import Watch  # noqa: PLC0415  # a fifth of a second that no other command should pay

    held = io.StringIO()  # a line of the log would tear the picture; it is told afterwards
    logs.configure(held, secrets=secrets, level="error")
    app = Watch(database, subject, stop)
    try:
        app.run(mouse=False)  # so that the terminal's own selection works: order ids are there to be copied
    finally:
        app.lookout.leave()
        sys.stderr.write(held.getvalue())
    if app.lookout.bug is not None:
        raise app.lookout.bug
    return app.return_code or 0


def _can_draw() -> bool:
    """Whether this is a terminal that takes keys and understands more than lines of plain text."""
    terminal = all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr))
    utf8 = "utf" in (sys.stdout.encoding or "").lower()
    return terminal and utf8 and os.environ.get("TERM", "dumb") not in {"", "dumb", "unknown"}
