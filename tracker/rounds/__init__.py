"""What one tick does: gather, decide, write. Knows neither HTTP nor SQL, only the ports it declares."""
