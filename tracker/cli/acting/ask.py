"""`tracker refill` and `tracker cancel`: ask the panel about orders that exist, one request for each."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from tracker.cli.acting.wishes import How, changing_options
from tracker.cli.columns import Format
from tracker.cli.completion import complete_panels
from tracker.cli.options import config_option, format_options
from tracker.model import Action

F = TypeVar("F", bound=Callable[..., Any])

LIMIT: Final = 100
"""Orders that conditions choose unless --limit says otherwise: a slip costs a hundred requests, not a thousand."""

_OPTIONS: Final = (
    click.argument("names", metavar="[ORDER]...", nargs=-1),
    click.option("--panel", shell_complete=complete_panels, help="The panel, where two of them have an id."),
    click.option(
        "--where",
        multiple=True,
        metavar="NAME=VALUE",
        help="Orders by state, service, ref (several with commas), link (a part of it), panel or silent (6h); all "
        "conditions hold together.",
    ),
    click.option(
        "--limit", type=click.IntRange(min=1), default=LIMIT, show_default=True, help="At most so many by --where."
    ),
    changing_options,
    format_options,
    config_option,
)


def _asking(command: F) -> F:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.command()
@_asking
def refill(how: How, **given: Any) -> int:  # noqa: ANN401  # the options above
    """Ask for refills of orders, one request for each; each refill is then followed to its end.

    Exit codes: 0 all taken, 3 some, 1 none, 4 the key is refused, 5 unreachable, 6 the outcome of one is unknown.
    """
    return _ask("refill", how, **given)


@click.command()
@_asking
def cancel(how: How, **given: Any) -> int:  # noqa: ANN401  # as above
    """Ask for orders to be canceled, one request for each. A yes means asked: polling shows what becomes of it.

    Exit codes: 0 all taken, 3 some, 1 none, 4 the key is refused, 5 unreachable, 6 the outcome of one is unknown.
    """
    return _ask("cancel", how, **given)


def _ask(
    action: Action,
    how: How,
    *,
    names: Sequence[str],
    where: Sequence[str],
    panel: str | None,
    limit: int,
    format_: Format,
    config: Path | None,
) -> int:
    from tracker.cli.acting.many import Chosen, ask  # noqa: PLC0415  # all that acts takes long to import

    return ask(action, Chosen(names, where, panel, limit), how, format_=format_, config=config)
