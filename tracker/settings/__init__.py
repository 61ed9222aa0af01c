"""The configuration: one TOML file, validated whole, every error reported at once.

`load` is all that a program needs; `seconds` and `spelled` read and write the durations that people type.
The environment is an argument here, never read, and a key never leaves its `Secret` except by `reveal()`.
"""

from tracker.settings.load import load
from tracker.settings.records import Every, PanelSettings, Secret, Settings, hidden, shown
from tracker.settings.values import Address, seconds, spelled

__all__ = [
    "Address",
    "Every",
    "PanelSettings",
    "Secret",
    "Settings",
    "hidden",
    "load",
    "seconds",
    "shown",
    "spelled",
]
