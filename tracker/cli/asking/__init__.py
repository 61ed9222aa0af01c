"""Commands that ask the history."""
