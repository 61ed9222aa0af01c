"""`tracker simulate`: the simulated panel alone."""

import signal
import threading

import click

from tracker.errors import UsageFault
from tracker.simulator import DIALECT_NAMES, Simulator


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="The port; 0 takes a free one.")
@click.option("--dialect", type=click.Choice(sorted(DIALECT_NAMES)), default="documented", show_default=True)
@click.option(
    "--speed", type=click.FloatRange(min=0.001), default=60.0, show_default=True, help="Virtual seconds a second."
)
@click.option("--key", "api_key", default="demo-key", show_default=True, help="The key it accepts (not a secret).")
@click.option("--orders", type=click.IntRange(min=0), default=200, show_default=True, help="Orders to begin with.")
@click.option("--seed", type=int, default=0, help="The same seed makes the same world.")
@click.option("--requests-per-minute", type=click.IntRange(min=1), help="Refuse more than these.")
@click.option("--latency", type=click.FloatRange(min=0), default=0.0, help="Seconds before each answer.")
def simulate(
    *,
    port: int,
    dialect: str,
    speed: float,
    api_key: str,
    orders: int,
    seed: int,
    requests_per_minute: int | None,
    latency: float,
) -> None:
    """Run the simulated panel on 127.0.0.1 until stopped; the ids of its orders go to stdout, one a line."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, lambda *_: stop.set())
    try:
        panel = Simulator(
            port=port,
            dialect=dialect,
            speed=speed,
            key=api_key,
            seed=seed,
            requests_per_minute=requests_per_minute,
            latency=latency,
        )
    except OSError as error:
        raise UsageFault(f"Port {port} cannot be used: {error.strerror}. Take another one, or 0.") from error
    with panel:
        for placed in panel.world.spawn(orders):
            click.echo(placed.order_id)
        click.echo(
            f"A panel listens at {panel.url}\nkey {api_key}, dialect {dialect}, {orders} orders, "
            f"one second is {speed:g}. Ctrl-C ends it. Its orders are on stdout.",
            err=True,
        )
        stop.wait()
