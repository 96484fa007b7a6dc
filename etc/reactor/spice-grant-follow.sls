# Nothing of the event is used: whoever sends it can have no more done than what is in git already.
follow:
  runner.spice_grant.follow:
    - args:
      - quiet: true
