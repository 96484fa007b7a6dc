"""The guard as iptables has it: chains of our own in the table ``filter``."""
