"""`tracker import`: follow the orders of a file."""

from pathlib import Path
from typing import Literal

import click

from tracker.cli.completion import complete_panels
from tracker.cli.options import config_option, open_database, settings


@click.command("import")
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True))
@click.option("--panel", shell_complete=complete_panels, help="The panel of rows that name none.")
@click.option("--format", "form", type=click.Choice(["csv", "jsonl"]), help="The form. [default: as it looks]")
@click.option("--dry-run", is_flag=True, help="Only say what would become of the rows.")
@click.option("--strict", is_flag=True, help="Take nothing in unless every row can be.")
@click.option(
    "--rejects", type=click.Path(path_type=Path), help="Where rejected rows go. [default: FILE.rejects.csv]"
)
@click.option("--json", "as_json", is_flag=True, help="Print the counts as JSON.")
@config_option
def import_(
    *,
    file: str,
    panel: str | None,
    form: Literal["csv", "jsonl"] | None,
    dry_run: bool,
    strict: bool,
    rejects: Path | None,
    as_json: bool,
    config: Path | None,
) -> int:
    """Follow the orders of FILE (- is stdin): CSV whose first line names the columns, or JSON lines.

    \b
    Columns, in any order: panel, order_id (also: order, id), service_id (service), link (url), quantity (qty),
    runs, interval, ref (reference), ordered_at (date, created, created_at: ISO 8601, UTC where no offset is
    given, or unix seconds). Only order_id is needed, and the panel where there is no --panel.

    Of an order that is known, what was unknown is filled in; nothing known is overwritten, and a closed order
    stays closed. So an import can be repeated. Rejected rows are written beside FILE with their reasons, to be
    mended and imported; no file is overwritten for that.

    Exit codes: 0 all rows went in, 3 some were rejected, 1 all were, or --strict took nothing in.
    """  # noqa: D301  # click looks for the character itself, not for a backslash and a letter
    from tracker.cli.following.importing.run import Asked, run  # noqa: PLC0415  # see `tracker.cli.options`

    found = settings(config, need_panels=False)
    asked = Asked(file, panel, form, dry_run, strict, rejects, as_json)
    return run(asked, found, lambda: open_database(found.database_url, create=not dry_run))
