"""A flight recorder for orders bought from API v2 panels."""
