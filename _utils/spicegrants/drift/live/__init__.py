"""Listeners for events of the kernel, and checks in processes of their own."""
