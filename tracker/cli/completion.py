"""`tracker completion`, and what the shell is offered: commands, states and formats by click, the rest here.

Pressing TAB must be quick and must never fail aloud: anything that goes wrong offers nothing.
"""

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from click.shell_completion import CompletionItem, get_completion_class

if TYPE_CHECKING:
    from tracker.cli.columns import Column

VARIABLE: Final = "_TRACKER_COMPLETE"
"""Set by the shell's script when it wants completions instead of a run."""

Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def complete_panels(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer the names of the configured panels; no key is read for that."""
    with suppress(Exception):
        from tracker.settings import load  # noqa: PLC0415  # its checks take longer to import than all the rest

        written: Path | None = ctx.params.get("config")
        found = load(written and written.expanduser(), os.environ, need_panels=False)
        return [CompletionItem(panel.name) for panel in found.panels if panel.name.startswith(incomplete)]
    return []


def column_completer(columns: Sequence["Column"]) -> Completer:
    """Return what offers the names of columns, also as the next of a list with commas."""
    names = list(dict.fromkeys(column.name for column in columns))

    def complete(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        listed, comma, last = incomplete.rpartition(",")
        offered = [name for name in names if name.startswith(last) and name not in listed.split(",")]
        return [CompletionItem(f"{listed}{comma}{name}") for name in offered]

    return complete


@click.command()
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish")))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script with which the shell completes commands, panels, states and columns.

    \b
    bash:  tracker completion bash > ~/.local/share/bash-completion/completions/tracker
    zsh:   tracker completion zsh > ~/.zfunc/_tracker
           with `fpath+=~/.zfunc; autoload -Uz compinit; compinit` in ~/.zshrc
    fish:  tracker completion fish > ~/.config/fish/completions/tracker.fish

    Then open a new shell. To try it in this one: source <(tracker completion bash)
    """  # noqa: D301  # click looks for the character itself, not for a backslash and a letter
    made = get_completion_class(shell)
    if made is not None:
        script = made(ctx.find_root().command, {}, "tracker", VARIABLE).source()
        # click's script for fish cuts a completion at its first comma, and lists of columns have some.
        click.echo(script.replace('(string split "," ', '(string split --max 1 "," '))
