"""What is known, for people: rows as mappings, newest first where time matters, never blocking a writer.

Every list takes `sort`, the name of a column of its rows (`-name`: the other way round), and `limit`, the most
rows (None: all). `since` counts from that moment on, `until` up to just before it. Durations are whole seconds.
"""

from typing import Final

from tracker.store.reading.history.orders import OrderReads
from tracker.store.reading.history.panels import PanelReads
from tracker.store.reading.history.reports import Reports

__all__: Final = ["History"]


class History(OrderReads, PanelReads, Reports):
    """Reads over one database."""
