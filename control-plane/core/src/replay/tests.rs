//! Stories that are recorded and made again.
