# Takes everything away again: rules, sudoers file, units, group, files; the viewer gets its owner and mode back.
spice:
  spice_grant.removed
