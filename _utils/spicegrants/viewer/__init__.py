"""The viewer layer: what may start, with which connection file, in which sandbox, and how users find it."""
