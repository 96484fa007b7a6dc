"""Reads and changes rules and routes."""
