"""Commands that bring orders in, and let them go."""
