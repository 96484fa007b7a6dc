"""The guard as nftables has it: a table of our own, and one of the family netdev."""
