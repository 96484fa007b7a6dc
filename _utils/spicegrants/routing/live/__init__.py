"""Routing access to this machine: reading and changing the kernel's rules and routes."""
