"""Keeping a database fit for years: pruning, backups, sizes."""
