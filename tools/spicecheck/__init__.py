"""``spice-grant-check``: check a pillar repository before it is merged, with no master running."""
