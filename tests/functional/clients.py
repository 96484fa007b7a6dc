"""Programs that users run: one that holds a connection and speaks over it, and one that tries without end."""

import contextlib
import subprocess
import sys

# Connects, says so, then sends a line for each line on its standard input and says what came back.
TALK = """
import socket, sys
sock = socket.create_connection((sys.argv[1], int(sys.argv[2])), 3)
sock.recv(64)
print("open", flush=True)
for line in sys.stdin:
    try:
        sock.sendall(line.encode())
        print("answered" if sock.recv(64) else "closed", flush=True)
    except (ConnectionResetError, ConnectionAbortedError):
        print("ended", flush=True)
        break
    except OSError as error:
        print(error, flush=True)
        break
"""
# Connects over and over until its standard input is closed; says how often it came through and how often not.
HAMMER = """
import json, select, socket, struct, sys
count = {"open": 0, "refused": 0}
while not select.select([sys.stdin], [], [], 0)[0]:
    with socket.socket(socket.AF_INET) as sock:
        sock.settimeout(60)
        # Without this each of its ports is taken for a minute, and one day there is none left.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        try:
            sock.connect((sys.argv[1], int(sys.argv[2])))
            count["open"] += 1
        # Reset: the guard let the first packet pass, and not the one that answers the server's.
        except (ConnectionRefusedError, ConnectionResetError):
            count["refused"] += 1
print(json.dumps(count))
"""


@contextlib.contextmanager
def running(machine, text, *arguments, user, group):
    """A small Python program of a user with a group, with pipes."""
    command = [sys.executable, "-I", "-S", "-c", text, *map(str, arguments)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = machine.popen(command, user=user, group=group, text=True, **pipes)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill_tree()
        process.stdin.close()
        process.stdout.close()


def say(process, line):
    process.stdin.write(line + "\n")
    process.stdin.flush()
    return process.stdout.readline().strip()
