"""Write docs/attacks.md from the declarations of the attacks in tests/attacks.

``make attacks`` plays the attacks first: a false declaration fails there, and nothing is written.
"""

import pathlib

from attacks.catalogue import attacks, groups

ROOT = pathlib.Path(__file__).resolve().parents[1]
TABLE = ROOT / "docs" / "attacks.md"
HEAD = """\
# Attacks

Written by `make attacks`, which plays all of them before; do not edit it.

Each attack is a file in [tests/attacks](../tests/attacks), and is played against a workstation and a server with real
consoles in three forms:

- **bare**: nothing protects it. Here every attack succeeds, which shows that it is one.
- **recipe**: the article's rules of iptables and of sudo, and its owner and mode of the viewer. The chains' policies,
  which it does not print, are DROP, with which scripts of its firewall builder begin.
- **ours**: what `pillar/` declares, applied by `state.apply spice`. Here every attack fails, or the tests do.
  Where it is routing that stops one, pillar switches that on (`routing:enabled`); it is off by default.

{count} attacks: bare {count} succeed, with the recipe {recipe}, with ours none.
"""
HEADING = """
## {title}

| | attack | bare | recipe | ours | stopped by |
|---|---|---|---|---|---|
"""
ROW = "| [{name}](../tests/attacks/{group}/{name}.py) | {text} | {bare} | {recipe} | {ours} | {stopped_by} |\n"
OUTCOME = {True: "**succeeds**", False: "fails"}
FOOT = """
Not played: ipvlan, because the kernel on which this was written has none; UDP, because a SPICE console listens to TCP;
raw sockets, because they are root's.

Between a flush of all rules of nftables and the moment at which ours are loaded again, routing alone holds. It knows
UIDs, addresses and ports, but no groups, no guests and no root: own_client, relay, passed_socket, proxy,
translated_address, macvlan_guest, bridged_guest and headless_fragment then succeed.
"""


def row(attack):
    """Return the table row of an attack."""
    values = {"group": attack.group, "name": attack.name, "text": attack.text, "stopped_by": attack.stopped_by}
    values.update(bare=OUTCOME[True], recipe=OUTCOME[attack.recipe], ours=OUTCOME[False])
    return ROW.format(**values)


def render(found):
    """Return the whole text for these attacks."""
    text = HEAD.format(count=len(found), recipe=sum(attack.recipe for attack in found))
    for group, title in groups().items():
        text += HEADING.format(title=title) + "".join(row(attack) for attack in found if attack.group == group)
    return text + FOOT


if __name__ == "__main__":
    TABLE.write_text(render(attacks()), encoding="utf-8")
