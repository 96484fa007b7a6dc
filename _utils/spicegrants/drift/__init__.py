"""Notices changes that others make, has them repaired, and tells of it.

The work of the beacon: what the kernel says as bytes, when to look, what keeps coming back.
"""
