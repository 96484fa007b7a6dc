"""The KVM host's half: consoles as declared, a ticket for each launch, and ports that are shut to all who did not ask.

Pure, but for what is in ``live``.
"""
