"""What rounds read and write: the books of one panel, under its lease."""
