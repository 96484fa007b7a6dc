"""A user without a grant knows a password that somebody has given the viewer's group (gpasswd), and takes it by sg."""

from scenes import GROUP

RECIPE = "succeeds"
STOPPED_BY = "viewer: a password of its group, or who administers it, is taken off by the next run"
WORD = "sesame"
# sg asks on the terminal.
ASK = """
import pty
child, terminal = pty.fork()
if child == 0:
    os.execvp("sg", ["sg", sys.argv[1], "-c", "id -g"])
output = b""
try:
    while chunk := os.read(terminal, 1024):
        output += chunk
        if b"assword:" in chunk:
            os.write(terminal, sys.argv[2].encode() + b"\\n")
except OSError:
    pass
print(output.split()[-1].decode())
"""


def attack(client):
    if client.form == "bare":
        client.root("groupadd", "--system", GROUP, undo=["groupdel", GROUP])
    encrypted = client.root("openssl", "passwd", "-6", WORD).strip()
    client.root("groupmod", "--password", encrypted, GROUP, undo=["groupmod", "--password", "!", GROUP])
    client.protect()
    gid = client.machine.group_id(GROUP)
    return client.python(ASK, GROUP, WORD, user="visitor") == str(gid)
