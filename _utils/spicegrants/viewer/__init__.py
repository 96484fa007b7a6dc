"""The viewer layer: viewers that users may start, their connection files and sandbox, and how users find them."""
