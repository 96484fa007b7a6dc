"""Audit: reports on who may open what and why, denials, minions' status, and trials of the enforcement."""
