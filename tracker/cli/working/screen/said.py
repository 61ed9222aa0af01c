"""Words on the screen that are drawn again only when they change."""

from rich.text import Text
from textual.widgets import Static


class Said(Static):
    """Shows a text, in which brackets are no markup; takes no room where it is empty."""

    _said: Text | None = None

    def say(self, text: Text) -> None:
        """Show `text`."""
        # Two texts are equal where they differ in style alone.
        if self._said is None or (self._said.plain, self._said.spans) != (text.plain, text.spans):
            self._said = text
            self.display = bool(text.plain)
            self.update(text)
