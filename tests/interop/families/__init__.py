"""Which servers are started for which cases."""
