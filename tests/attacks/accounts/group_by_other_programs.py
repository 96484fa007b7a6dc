"""A granted user takes the viewer's group by newgrp, sg, su or chgrp, and starts the viewer with it, without sudo."""

from attacks.clients import uri
from scenes import GROUP, VIEWER

RECIPE = "fails"
STOPPED_BY = "viewer: nobody is a member of its group, and that has no password"
# What the viewer says where there is no display.
STARTED = "cannot open display"
WAYS = (
    'sg {group} -c "{viewer}"',
    'echo "{viewer}" | newgrp {group}',
    'echo myself | su --group {group} --command "{viewer}" myself',
    "mkdir -p ~/.cache && cp /usr/bin/id ~/.cache/id && chgrp {group} ~/.cache/id && chmod g+s ~/.cache/id"
    " && ~/.cache/id -g && {viewer}",
    "{viewer}",
)


def attack(client):
    group = "myself" if client.form == "bare" else GROUP
    client.used.callback(client.machine.run, ["rm", "-rf", "/home/myself/.cache"])
    ways = [way.format(group=group, viewer=f"{VIEWER} -- {uri('debianx')}") for way in WAYS]
    output = {way: client.machine.run(["sh", "-c", way], user="myself", check=False).stderr for way in ways}
    return [way for way, text in output.items() if STARTED in text]
