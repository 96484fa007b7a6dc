#!/usr/bin/python3 -IS
"""The program that holds the backstop: an nftables table that belongs to this process, so that no other can change it.

It is installed as it is, and run by systemd with the system's own Python. Without arguments it creates the stored
table, and holds it until it is told to end; the table goes with it. With the PID of a process that holds another table,
it takes that one's place: the new table is there before the old one goes. With ``try`` it reports whether all of this
is possible.
"""

import ctypes
import json
import os
import select
import signal
import socket
import sys

STORED = "/var/lib/spice-grant/backstop.json"
LIBRARY = "libnftables.so.1"
# What the names of such tables begin with.
PREFIX = "spice_grant_backstop_"
# A table that persists is still there if this process is killed, and then waits for the next: Linux 6.9, nft 1.1.
FLAGS = ("owner, persist", "owner")
# What a machine must be able to do.
TRIAL = "chain output { type filter hook output priority 0; meta skgid != 0 reject with tcp reset; };"
# Seconds for systemd and for the predecessor.
PATIENCE = 30


class Nft:
    """libnftables(3) with a netlink socket of its own, which owns the tables that it creates."""

    def __init__(self):
        """Open the socket; raise OSError if the library is missing."""
        self._library = library = ctypes.CDLL(LIBRARY)
        library.nft_ctx_new.restype = ctypes.c_void_p
        for function in (library.nft_ctx_get_output_buffer, library.nft_ctx_get_error_buffer):
            function.restype = ctypes.c_char_p
        # Held as a pointer: a plain number would be cut to 32 bits.
        self._context = ctypes.c_void_p(library.nft_ctx_new(0))
        library.nft_ctx_buffer_output(self._context)
        library.nft_ctx_buffer_error(self._context)

    def run(self, commands):
        """Run commands in one transaction; return the output, or raise OSError with nft's words if they fail."""
        if self._library.nft_run_cmd_from_buffer(self._context, commands.encode()):
            message = self._library.nft_ctx_get_error_buffer(self._context).decode(errors="replace")
            raise OSError(message.strip().partition("\n")[0] or "nft says no more")
        return self._library.nft_ctx_get_output_buffer(self._context).decode(errors="replace")


def main(arguments):
    """Hold the stored table, or take over from its holder; return the exit code."""
    try:
        if arguments == ["try"]:
            make(f"{PREFIX}trial", TRIAL)
            return 0
        with open(STORED, encoding="ascii") as stream:
            stored = json.load(stream)
        table, body = stored["table"], stored["body"]
        if arguments:
            return succeed(int(arguments[0]), table, body)
        nft = make(table, body)
        tell("READY=1")
        return hold(nft, table)
    except (OSError, ValueError, KeyError, TypeError) as error:
        print(f"the backstop before the SPICE consoles is not held: {error}", file=sys.stderr)
        return 1


def make(table, body):
    """Create a table in one transaction and return its owner; remove the tables that killed holders left."""
    nft = Nft()
    # Nobody owns the table of a holder that was killed. That of a living one cannot be deleted, and all of this fails.
    deletion = f"delete table inet {table}; " if table in names(nft) else ""
    for flags in FLAGS:
        try:
            nft.run(f"{deletion}table inet {table} {{ flags {flags}; {body} }}")
            break
        except OSError:
            if flags == FLAGS[-1]:
                raise
    for name in names(nft):
        if name != table:
            delete(nft, name)
    return nft


def names(nft):
    """Return the names of existing backstop tables."""
    words = [line.split() for line in nft.run("list tables inet").splitlines()]
    return [name for word, family, name in filter(lambda each: len(each) == 3, words) if name.startswith(PREFIX)]


def owned(nft, table):
    """Tell whether a process owns a table."""
    if table not in names(nft):
        return False
    flags = [line for line in nft.run(f"list table inet {table}").splitlines()[:3] if line.strip().startswith("flags ")]
    return any("owner" in line for line in flags)


def delete(nft, table):
    """Delete a table, if this process or none owns it."""
    try:
        nft.run(f"delete table inet {table}")
    except OSError:
        # Its owner is alive, and takes it away when it ends.
        return


def hold(nft, table):
    """Wait until told to end; then delete the table, which may persist otherwise."""
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    delete(nft, table)
    return 0


def succeed(predecessor, table, body):
    """Start a process that holds the table, and end the predecessor; return once that is done.

    The new process is systemd's main one from then on. If the predecessor already holds this very table, nothing is
    done.
    """
    if owned(Nft(), table):
        return 0
    finished, telling = os.pipe()
    if os.fork():
        os.close(telling)
        return 0 if os.read(finished, 1) else 1
    nft = make(table, body)
    tell(f"READY=1\nMAINPID={os.getpid()}")
    settle()
    end(predecessor)
    os.write(telling, b".")
    os.close(telling)
    return hold(nft, table)


def end(pid):
    """End a process, and wait until it has ended."""
    try:
        process = os.pidfd_open(pid)
        signal.pidfd_send_signal(process, signal.SIGTERM)
    except ProcessLookupError:
        return
    select.select([process], [], [], PATIENCE)
    os.close(process)


def tell(what, descriptors=()):
    """Send systemd a message, sd_notify(3), if systemd started this program."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as connection:
            connection.connect("\0" + address[1:] if address.startswith("@") else address)
            socket.send_fds(connection, [what.encode()], list(descriptors))


def settle():
    """Wait until systemd has processed all messages, sd_notify_barrier(3)."""
    reading, writing = os.pipe()
    tell("BARRIER=1", [writing])
    os.close(writing)
    select.select([reading], [], [], PATIENCE)
    os.close(reading)


if __name__ == "__main__":
    # Told to end at any moment, it finishes what it does.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    sys.exit(main(sys.argv[1:]))
