"""Free ports of the loopback."""

import socket

_taken: set[int] = set()


def free_port() -> int:
    """A port that nobody uses, and that was not given out before."""
    while True:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port: int = listener.getsockname()[1]
        if port not in _taken:
            _taken.add(port)
            return port
