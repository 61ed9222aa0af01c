"""The commands of docs/operations.md."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"


def commands(heading: str) -> list[str]:
    """Return the blocks of shell commands below `## heading`, as they stand there."""
    section = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert section, f"{PAGE} has no section {heading}"
    blocks = re.findall(r"^```sh\n(.*?)^```", section[1], re.MULTILINE | re.DOTALL)
    assert blocks, f"the section {heading} of {PAGE} has no commands"
    return blocks
