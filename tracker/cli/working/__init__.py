"""Commands that poll, and the screen that shows it."""
