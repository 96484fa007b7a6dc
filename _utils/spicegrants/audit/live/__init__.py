"""Trials of the policy as the users themselves, and the kernel's log."""
