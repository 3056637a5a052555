"""What applications do, one module per protocol and client."""
