"""Processes, addresses, calls and counts: what every case needs."""
