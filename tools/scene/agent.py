"""A clipboard agent for a guest without an operating system.

It speaks for the guest as spice-vdagent does (spice-protocol's vd_agent.h), over a serial line whose ports are read and
written through QEMU's monitor.
"""

import json
import struct
import time

from scene.machine import SceneError

DATA, STATUS = 0x3F8, 0x3FD
RECEIVED, EMPTY = 0x01, 0x20
CLIPBOARD, ANNOUNCE, GRAB, REQUEST = 4, 6, 7, 8
BY_DEMAND = 1 << 5
TEXT = struct.pack("<I", 1)
_CHUNK, _MESSAGE = struct.Struct("<II"), struct.Struct("<IIQI")


class Agent:
    """Speaks to a console's viewer through the monitor, a pair of streams that speak QMP."""

    def __init__(self, writing, reading):
        self._writing, self._reading = writing, reading
        self._ask("qmp_capabilities")

    def hear(self, kind, timeout=60):
        """Return the content of the next message of a kind; answer others that demand an answer."""
        deadline = time.monotonic() + timeout
        while True:
            heard, content = self._message(deadline)
            if heard == ANNOUNCE and content.startswith(b"\1"):
                self.say(ANNOUNCE, struct.pack("<II", 0, BY_DEMAND))
            if heard == kind:
                return content

    def say(self, kind, content):
        """Send a message."""
        message = _MESSAGE.pack(1, kind, 0, len(content)) + content
        for byte in _CHUNK.pack(1, len(message)) + message:
            while not self._port(STATUS) & EMPTY:
                time.sleep(0.001)
            self._ask("human-monitor-command", **{"command-line": f"o /b {DATA:#x} {byte:#x}"})

    def _message(self, deadline):
        message = b""
        while len(message) < _MESSAGE.size or len(message) < _MESSAGE.size + _MESSAGE.unpack_from(message)[3]:
            message += self._bytes(_CHUNK.unpack(self._bytes(_CHUNK.size, deadline))[1], deadline)
        return _MESSAGE.unpack_from(message)[1], message[_MESSAGE.size :]

    def _bytes(self, count, deadline):
        found = bytearray()
        while len(found) < count:
            if self._port(STATUS) & RECEIVED:
                found.append(self._port(DATA))
            elif time.monotonic() > deadline:
                raise SceneError("the viewer says nothing to the guest's agent")
            else:
                time.sleep(0.005)
        return bytes(found)

    def _port(self, port):
        return int(self._ask("human-monitor-command", **{"command-line": f"i /b {port:#x}"}).split("=")[1], 16)

    def _ask(self, command, **arguments):
        self._writing.write(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
        self._writing.flush()
        while True:
            said = json.loads(self._reading.readline())
            if "error" in said:
                raise SceneError(f"QEMU: {said['error']}")
            if "return" in said:
                return said["return"]
