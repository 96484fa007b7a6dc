"""The guard in iptables: chains of our own in the table ``filter``."""
