"""The guard in nftables: a table of our own in the family inet, and another in the family netdev."""
