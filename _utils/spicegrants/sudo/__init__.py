"""The sudo layer: one file with exact-argument rules, and a search for other sudoers rules that open or undo more."""
