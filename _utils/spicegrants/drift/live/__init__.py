"""Listens to the kernel, and starts a check in a process of its own."""
