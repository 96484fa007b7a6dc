# Keeps a minion as its pillar says. The beacon has drift repaired within seconds, from what is stored on the minion; the
# schedule follows edits of the pillar, and checks also what no event reports. Every minion waits another part of
# splay, so that a master is not asked by all of them at once. `saltutil.refresh_pillar` makes it take effect.
beacons:
  spice_grant:
    - repair: True
schedule:
  spice:
    function: state.apply
    args: [spice]
    minutes: 15
    splay: 60
    maxrunning: 1
    run_on_start: True
