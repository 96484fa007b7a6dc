# The KVM host's half: for minions that servers of the pillar name.
consoles:
  spice_host.present
