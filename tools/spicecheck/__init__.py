"""``spice-grant-check``: checks a pillar repository before it is merged, with no master running."""
