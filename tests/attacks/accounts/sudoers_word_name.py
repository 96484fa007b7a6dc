"""An account with a grant is named like a word of sudoers (`ALL`, `#1023`, `%visitor`): its rule means others."""

from attacks.calls import granted, passes, site
from attacks.clients import USERS

__all__ = ["site"]
RECIPE = "succeeds"
STOPPED_BY = "sudo: such a name is granted nothing, by itself or as a member of a group, and the run says so"
OTHER, GROUP = "visitor", "team"
NAMES = ("ALL", f"#{USERS[OTHER]}", f"%{OTHER}")


def attack(client):
    client.root("groupadd", GROUP, undo=["groupdel", GROUP])
    for name in NAMES:
        client.root("useradd", "--badname", "--groups", GROUP, name, undo=["userdel", name])
    client.grant_group(GROUP, NAMES, "debianx")
    options, program, arguments = granted(client)
    calls = {("-u", user, *options[2:]) for user in (options[1], OTHER)}
    return [call for call in sorted(calls) if passes(client, *call, program, *arguments, user=OTHER)]
