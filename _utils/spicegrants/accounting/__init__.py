"""Accounting: who is in which console, from when to when, and how much went through; written into the record."""
