"""Shared access to the running system: programs, files, accounts, mounts, the run lock.

Code that reads or changes one layer is in that layer's ``live``.
"""
