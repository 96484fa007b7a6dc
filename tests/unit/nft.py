"""The table of nftables and plans for it, as tests look at them."""

from spicegrants.firewall.guard import Key

MYSELF = Key(1021, 995, "192.168.2.2", 20002)
MYBRO = Key(1022, 995, "192.168.2.2", 20004)


def words(planned):
    return [(change.what, change.grants) for change in planned.changes]


def verbs(planned):
    commands = [*planned.before, *planned.commands, *planned.after]
    return [f"{verb} {kind}" for command in commands for verb, body in command.items() for kind in body]


def is_rebuilt(planned):
    """The old table goes and the new one comes in one transaction, complete."""
    assert verbs(planned)[:3] == ["add table", "delete table", "add table"]
    return True


def body(listing, kind, name):
    """Return the body of a thing in a listing."""
    return next(entry[kind] for entry in listing if kind in entry and entry[kind].get("name") == name)
