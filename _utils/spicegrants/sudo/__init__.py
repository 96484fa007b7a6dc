"""The sudo layer: one file with exact-argument rules, and what other rules of sudoers let through."""
