"""How each real server is started."""
