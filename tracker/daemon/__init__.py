"""When: ticks, leases and signals. Never reaches `actions`: the daemon asks, and buys nothing."""
