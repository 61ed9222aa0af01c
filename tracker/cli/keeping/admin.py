"""`tracker config show`."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import click

from tracker.cli.options import config_option, settings
from tracker.cli.render import to_json
from tracker.settings import shown


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
