"""A granted user runs the launcher as another one, which the article's last lines allow, and so acts with that UID."""

from attacks import calls
from scenes import GROUP

RECIPE = "succeeds"
STOPPED_BY = "sudo: no rule lets anybody act as another user; the launcher needs no rule"
LAUNCHER = {"recipe": "/usr/bin/rviewer", "bare": "/usr/bin/rviewer"}
# As it begins there, with what it would then do.
SCRIPT = '#!/bin/bash\nif test $UID -ne $SUDO_UID; then echo "error as $UID"; exit; fi\n'
LINES = "myself ALL=(myself:{0}) NOPASSWD: {1}\nmyself ALL=(mybro:{0}) NOPASSWD: {1}\n"


def site(client):
    calls.site(client)
    if client.form in LAUNCHER:
        path, rules = LAUNCHER[client.form], "/etc/sudoers.d/launcher"
        client.machine.write(path, SCRIPT, mode=0o755)
        client.used.callback(client.machine.run, ["rm", "-f", path, rules])
    if client.form == "recipe":
        client.root("groupadd", "--force", "--system", GROUP)
        client.machine.write(rules, LINES.format(GROUP, path), mode=0o440)


def attack(client):
    launcher = LAUNCHER.get(client.form, "/usr/local/bin/rviewer")
    output = client.machine.run(["sudo", "-n", "-u", "mybro", "-g", GROUP, launcher], user="myself", check=False).stdout
    return output or calls.passes(client, "-u", "mybro", launcher)
