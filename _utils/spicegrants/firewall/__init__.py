"""The firewall layer: owner-match rules that let exactly the granted users reach the consoles' ports.

``nft`` and ``iptables`` render and read back the guard for either mechanism; ``trace`` follows a packet through the
rules of others.
"""
