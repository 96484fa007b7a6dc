# Whoever sends the event, and whatever id it names: no more is done than what an administrator has asked for.
deliver:
  runner.spice_grant.deliver:
    - args:
      - minion: {{ data['id'] | json }}
      - quiet: true
