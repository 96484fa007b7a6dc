# An office with laptops that anybody takes along, and with desks. A minion's pillar holds only what is named here for it.
base:
  'laptop-*':                        # anybody may sit at any of them: the same grants on all
    - spice.grants.*
  'desk-books':                      # shared: Charlie by day, the boss in the evening; the grants of both files merge
    - spice.grants.charlie
    - spice.grants.boss
  'desk-maggie':
    - spice.grants.maggie
  'desk-anne':
    - spice.grants.anne
  'desk-ralph':
    - spice.grants.ralph
  'kiosk-*':                         # nobody: the consoles' ports are guarded all the same
    - spice.office
