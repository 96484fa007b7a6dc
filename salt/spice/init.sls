# The grants that the pillar of this minion declares (spice:grants), and no others.
spice:
  spice_grant.present:
    - exclusive: True
