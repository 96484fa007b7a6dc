"""Asks sudo, its tools, and PAM."""
