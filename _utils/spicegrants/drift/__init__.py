"""Drift detection: notice changes that others make, have them repaired, and report them.

The work of the beacon: events of the kernel as bytes, back-off between looks, flap detection.
"""
