"""`tracker add`: place one order, through the journal."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from tracker.cli.acting.wishes import How, changing_options, field_options, fields_of, invented
from tracker.cli.completion import complete_panels
from tracker.cli.options import config_option


@click.command()
@click.argument("service")
@click.option(
    "--panel", shell_complete=complete_panels, help="Where to order; needless where only one is configured."
)
@click.option("--ref", help="Your own name for the order: no second one gets the same.")
@field_options
@changing_options
@click.option("--json", "as_json", is_flag=True, help="Print the intent, whatever came of it.")
@config_option
def add(
    how: How,
    service: str,
    *,
    panel: str | None,
    ref: str | None,
    more: Sequence[str],
    as_json: bool,
    config: Path | None,
    **given: Any,  # noqa: ANN401  # a text or several: the fields by name
) -> int:
    """Order SERVICE at a panel, after a look at its price and the balance, and follow the order from then on.

    The id of the order goes to stdout. It is sent once at most, whatever happens. Exit codes: 1 the panel (or an
    earlier intent) says no, 3 it was bought but stdout took no id, 4 the key is refused, 5 nothing was sent,
    6 nobody knows: `tracker resolve` helps.
    """
    from tracker.cli.acting.placing import Order, place  # noqa: PLC0415  # all that acts takes long to import

    return place(
        Order(service, fields_of(given), invented(more), ref), how, panel=panel, config=config, as_json=as_json
    )
