"""The command `tracker`: what people type, and what they read when it goes wrong.

Commands are imported when they are used: `tracker --help` must not wait for a database driver.
"""

import errno
import importlib
import os
import resource
import sys
from importlib.metadata import version
from io import TextIOWrapper
from keyword import iskeyword
from pathlib import Path
from typing import Final

import click
from click.shell_completion import CompletionItem

from tracker.cli.completion import VARIABLE
from tracker.cli.following.given import is_unicode, shown
from tracker.cli.pipe import say, silence
from tracker.errors import EXIT_FAILED, EXIT_USAGE, TrackerError

COMMANDS: Final = {
    "demo": ("working.demo", "See it work now: no account, no configuration, no server."),
    "run": ("working.run", "Follow every open order until stopped (the daemon)."),
    "poll": ("working.poll", "Ask once about what is due, or about some orders, and end."),
    "track": ("following.track", "Start following orders."),
    "import": ("following.import_", "Follow the orders of a file."),
    "untrack": ("following.track", "Stop following orders; what was recorded stays."),
    "add": ("acting.add", "Place an order, after a look at its price."),
    "refill": ("acting.ask", "Ask for refills of orders."),
    "cancel": ("acting.ask", "Ask for orders to be canceled."),
    "intents": ("acting.intents", "What was sent to change something, and what came of it."),
    "resolve": ("acting.intents", "Say what became of an intent whose outcome is unknown."),
    "orders": ("asking.orders", "Orders as last seen."),
    "show": ("asking.show", "One order: what is known and what happened."),
    "services": ("asking.services", "The catalog, and how it changed."),
    "balance": ("asking.balance", "Balance snapshots, and their curve."),
    "stats": ("asking.stats", "How long services really take, what was spent, what came back."),
    "refills": ("asking.rounds", "Refills and how they ended."),
    "rounds": ("asking.rounds", "What was asked, when, and what came of it."),
    "anomalies": ("asking.rounds", "Replies that could not be believed."),
    "export": ("asking.export", "A table or a view as a file: CSV, JSON lines or Parquet."),
    "watch": ("working.watch", "A live screen beside the running daemon."),
    "check": ("keeping.check", "Is this installation sound? Each fault comes with its remedy."),
    "health": ("keeping.health", "Whether the work goes on: the last success of each kind."),
    "verify": ("keeping.verify", "Is the history what it promises to be? Every row that is not."),
    "simulate": ("working.simulate", "Run the simulated panel alone, for any tool."),
    "config": ("keeping.admin", "The effective configuration."),
    "db": ("keeping.db", "The database: its schema, sizes, pruning, backups."),
    "completion": ("completion", "The script with which your shell completes words."),
}
"""Command -> its module and its line in the help."""

FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
"""What keeps a file from taking more."""


class Commands(click.Group):
    """Finds commands by the table above."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        """Return the commands in the order in which one meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  # click's signature
        """Import the command's module and return it."""
        if cmd_name not in COMMANDS:
            return None
        name = f"{cmd_name}_" if iskeyword(cmd_name) else cmd_name
        found = getattr(importlib.import_module(f"tracker.cli.{COMMANDS[cmd_name][0]}"), name)
        return found if isinstance(found, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  # click's signature
        """Write the list of commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Offer the commands without importing any."""
        offered = [CompletionItem(name, help=line) for name, (_, line) in COMMANDS.items()]
        options = click.Command.shell_complete(self, ctx, incomplete)
        return [item for item in offered if item.value.startswith(incomplete)] + options


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(version("order-tracker"), prog_name="tracker")
def tracker() -> None:
    """Record what happens to orders bought from API v2 panels, like a flight recorder.

    \b
    Try it:      tracker demo
    Use it:      write tracker.toml, then `tracker run`
    Look at it:  tracker orders, tracker show ORDER

    Exit codes: 0 ok, 1 failed, 2 usage, 3 partly, 4 the panel refused the key, 5 panel unreachable,
    6 outcome unknown, 10 no or unfit database, 11 someone else holds the lease, 78 configuration.
    """  # noqa: D301  # click looks for the character itself, not for a backslash and a letter


def main() -> None:
    """Run the command line and end the process with its exit code."""
    # Keys are in memory: after a crash they must not be in a file (the systemd unit says the same).
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _open_what_is_closed()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name in Russian must not end a report in LANG=C
    sys.exit(_complete() if VARIABLE in os.environ else run(sys.argv[1:]))


def _open_what_is_closed() -> None:
    """Put nothing in place of standard streams that were closed: a database opened next would get their number."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115  # until the end


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit code; every error becomes a sentence on stderr."""
    try:
        code = tracker.main(arguments, prog_name="tracker", standalone_mode=False)
        sys.stdout.flush()  # or the interpreter would find out too late that it cannot be written
    except click.UsageError as error:
        error.show()
        return EXIT_USAGE
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        return 130
    except TrackerError as error:
        say(f"tracker: {error}")
        return error.exit_code
    except (OSError, UnicodeEncodeError) as error:
        return _explain(error, arguments)
    return code if isinstance(code, int) else 0


def _explain(error: OSError | UnicodeEncodeError, arguments: list[str]) -> int:
    """Say what was in the way of printing or of what was typed, and return the exit code; raise what is a bug."""
    odd = [one for one in arguments if not is_unicode(one)]
    if isinstance(error, UnicodeEncodeError) and odd:  # by whatever was to take it: a database, a request
        say(f"tracker: {shown(odd[0])} is no Unicode text: type it in UTF-8.")
        return EXIT_USAGE
    if isinstance(error, BrokenPipeError):
        silence(sys.stdout)
        return EXIT_FAILED
    if isinstance(error, OSError) and error.errno in FULL:
        silence(sys.stdout)
        say(f"tracker: what this prints cannot be written: {error.strerror}. Make room.")
        return EXIT_FAILED
    if isinstance(error, OSError) and error.filename is not None:
        say(f"tracker: {shown(str(error.filename))}: {error.strerror}. Name another file, or mend that.")
        return EXIT_FAILED
    raise error


def _complete() -> int:
    """Answer the shell that asks how to complete a word; at a prompt no error may be heard."""
    try:
        tracker.main([], prog_name="tracker", complete_var=VARIABLE, standalone_mode=False)
    except Exception:  # noqa: BLE001  # whatever it is: nothing is offered
        return EXIT_FAILED
    return 0
