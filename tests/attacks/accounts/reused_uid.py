"""A new account gets the UID of a granted user who has left."""

from attacks.calls import granted, passes
from attacks.clients import PORTS, USERS
from scenes import ADDRESS

RECIPE = "succeeds"
STOPPED_BY = "sudo: rules hold names; and the opener insists that name and UID are those of the grant"
LEFT, NEW = "myself", "newcomer"


def attack(client):
    uid = USERS[LEFT]
    again = ["useradd", "--no-create-home", "--uid", str(uid), "--shell", "/bin/bash", LEFT]
    client.root("userdel", LEFT, undo=again)
    client.root(*again[:-1], NEW, undo=["userdel", NEW])
    options, program, arguments = granted(client)
    ways = [client.reach(NEW, ADDRESS, PORTS["debianx"])]
    if client.form != "bare":
        ways.append(passes(client, *options, program, *arguments, user=NEW))
    return any(ways)
