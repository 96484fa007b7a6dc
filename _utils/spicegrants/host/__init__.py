"""What all subjects share of the running system: programs, files, accounts, mounts, the lock.

No subject of its own: what reads or changes one layer is in that layer's ``live``.
"""
