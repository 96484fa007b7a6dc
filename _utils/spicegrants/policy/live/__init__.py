"""Lookups for the compiler: addresses, certificates and passwords."""
