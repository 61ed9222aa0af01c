"""A panel of our own: keeps the true history of every order, can be asked for it, and misbehaves on demand."""

from tracker.simulator.clock import Clock, ManualClock
from tracker.simulator.dialects import DIALECTS
from tracker.simulator.faults import FAULTS
from tracker.simulator.record import Served
from tracker.simulator.server import Simulator

DIALECT_NAMES = tuple(DIALECTS)
FAULT_NAMES = tuple(FAULTS)

__all__ = ["DIALECT_NAMES", "FAULT_NAMES", "Clock", "ManualClock", "Served", "Simulator"]
