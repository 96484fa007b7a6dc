"""Reads and changes the kernel's rules and connections."""
