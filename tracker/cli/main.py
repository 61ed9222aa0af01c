"""The command `tracker`: what people type, and what they read when it goes wrong.

Commands are imported when they are used: `tracker --help` must not wait for a database driver.
"""

import importlib
import sys
from importlib.metadata import version
from io import TextIOWrapper
from typing import Final

import click

from tracker.cli.pipe import silence
from tracker.errors import EXIT_FAILED, EXIT_USAGE, TrackerError

COMMANDS: Final = {
    "demo": ("demo", "See it work now: no account, no configuration, no server."),
    "run": ("run", "Follow every open order until stopped (the daemon)."),
    "poll": ("poll", "Ask once about what is due, or about some orders, and end."),
    "track": ("track", "Start following orders."),
    "orders": ("read", "Orders as last seen."),
    "show": ("show", "One order: what is known and what happened."),
    "services": ("read", "The catalog, and how it changed."),
    "balance": ("read", "Balance snapshots."),
    "refills": ("read", "Refills and how they ended."),
    "rounds": ("read", "What was asked, when, and what came of it."),
    "anomalies": ("read", "Replies that could not be believed."),
    "simulate": ("simulate", "Run the simulated panel alone, for any tool."),
    "config": ("admin", "The effective configuration."),
    "db": ("admin", "The schema of the database."),
}
"""Command -> its module and its line in the help."""


class Commands(click.Group):
    """Finds commands by the table above."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        """Return the commands in the order in which one meets them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  # click's signature
        """Import the command's module and return it."""
        if cmd_name not in COMMANDS:
            return None
        found = getattr(importlib.import_module(f"tracker.cli.{COMMANDS[cmd_name][0]}"), cmd_name)
        return found if isinstance(found, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  # click's signature
        """Write the list of commands without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(version("order-tracker"), prog_name="tracker")
def tracker() -> None:
    """Record what happens to orders bought from API v2 panels, like a flight recorder.

    \b
    Try it:      tracker demo
    Use it:      write tracker.toml, then `tracker run`
    Look at it:  tracker orders, tracker show ORDER

    Exit codes: 0 ok, 1 failed, 2 usage, 3 partly, 4 the panel refused the key, 5 panel unreachable,
    10 no or unfit database, 11 someone else holds the lease, 78 configuration.
    """  # noqa: D301  # click looks for the character itself, not for a backslash and a letter


def main() -> None:
    """Run the command line and end the process with its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name in Russian must not end a report in LANG=C
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit code; every error becomes a sentence on stderr."""
    try:
        code = tracker.main(arguments, prog_name="tracker", standalone_mode=False)
    except click.UsageError as error:
        error.show()
        return EXIT_USAGE
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        return 130
    except TrackerError as error:
        click.echo(f"tracker: {error}", err=True)
        return error.exit_code
    except BrokenPipeError:
        silence(sys.stdout)
        return EXIT_FAILED
    return code if isinstance(code, int) else 0
