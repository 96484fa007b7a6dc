"""A granted user has the viewer talk to the user's program as its session bus, which could have it start something."""

from attacks.stage import HOME, USER, Stage

RECIPE = "succeeds"
STOPPED_BY = "viewer: its sandbox has no socket of a bus, and its environment says that there is none"
NEEDS = ("Xvfb",)
BUS = f"{HOME}/.cache/bus"
# Hangs up on each caller, and says who called when asked.
LISTEN = """
import select
with socket.socket(socket.AF_UNIX) as server:
    server.bind(sys.argv[1])
    server.listen()
    print("listening", flush=True)
    callers = set()
    while True:
        if sys.stdin in select.select([sys.stdin, server], [], [])[0]:
            sys.stdin.readline()
            print(*sorted(callers), flush=True)
        else:
            with server.accept()[0] as caller:
                credentials = caller.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
                callers.add(struct.unpack("3i", credentials)[2])
"""


def attack(client):
    stage = Stage(client, code=False)
    stage.write(f"{HOME}/.cache/mark", "")
    bus = client.start(LISTEN, BUS, user=USER)
    stage.view(env={"DBUS_SESSION_BUS_ADDRESS": f"unix:path={BUS}", "AT_SPI_BUS_ADDRESS": f"unix:path={BUS}"})
    return bus.tell()
