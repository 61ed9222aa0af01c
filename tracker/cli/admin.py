"""`tracker config show` and `tracker db upgrade|status`."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import click

from tracker.cli.options import config_option, open_database, settings
from tracker.cli.render import to_json
from tracker.settings import hidden, shown


@click.group()
def config() -> None:
    """Show the configuration."""


@config.command("show")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@config_option
def config_show(config: Path | None, *, as_json: bool) -> None:
    """Print the effective configuration, every default included and every secret hidden."""
    found = shown(settings(config, need_panels=False))
    click.echo(to_json(found) if as_json else "\n".join(_toml(found)))


def _toml(table: Mapping[str, object], prefix: str = "") -> Iterator[str]:
    """Spell a table as TOML, for people: JSON's texts, numbers and lists are TOML's too."""
    for name, value in table.items():
        if value is None:
            yield f"# {name} is not set"
        elif not isinstance(value, Mapping):
            yield f"{name} = {json.dumps(value, ensure_ascii=False)}"
    for name, value in table.items():
        if isinstance(value, Mapping):
            if not any(isinstance(inner, Mapping) for inner in value.values()):
                yield f"\n[{prefix}{name}]"
            yield from _toml(value, f"{prefix}{name}.")


@click.group()
def db() -> None:
    """Manage the schema of the database."""


@db.command()
@config_option
def upgrade(config: Path | None) -> None:
    """Make the tables, or bring them to this version, under a lock."""
    found = settings(config, need_panels=False)
    database = open_database(found.database_url, create=True)
    before = database.upgrade()
    if before.fits:
        click.echo(f"{hidden(found.database_url)} has schema {before.newest} already.")
    else:
        click.echo(f"{hidden(found.database_url)}: schema {before.current or '(empty)'} -> {before.newest}.")


@db.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@config_option
@click.pass_context
def status(ctx: click.Context, config: Path | None, *, as_json: bool) -> None:
    """Say where the schema stands; exit 10 where it does not fit."""
    found = settings(config, need_panels=False)
    database = open_database(found.database_url)
    schema = database.schema()
    where = hidden(found.database_url)
    if as_json:
        click.echo(to_json({"database": where, **schema._asdict(), "fits": schema.fits}))
    elif schema.fits:
        click.echo(f"{where} has schema {schema.current}: fits.")
    if not schema.fits:
        database.require()
    ctx.exit(0)
