"""``spice-grant-check``: judges a pillar repository before it is merged, with no master running."""
