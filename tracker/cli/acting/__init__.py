"""Commands that change something at a panel."""
