"""Tries the policy as the users themselves, and reads what the kernel logged."""
