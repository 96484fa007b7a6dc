"""SPICE consoles, and cheap stand-ins for them, inside a machine."""

import subprocess
import sys
import time

from scene import bootsector
from scene.agent import Agent
from scene.machine import SceneError

# A port alone is no console yet: QEMU opens it before it finds that it has no certificate, and ends.
PROBE = """
import socket, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
with socket.create_connection(("127.0.0.1", int(sys.argv[1])), 5) as connection:
    context.wrap_socket(connection).close()
"""
ACCEPT = """
import resource, selectors, socket, sys
most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
ready = selectors.DefaultSelector()
for port in map(int, sys.argv[1:]):
    listener = socket.socket(socket.AF_INET6)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    listener.bind(("::", port))
    listener.listen(128)
    ready.register(listener, selectors.EVENT_READ, True)
print("listening", flush=True)
while True:
    for key, _ in ready.select():
        if key.data:
            sock, _ = key.fileobj.accept()
            try:
                sock.sendall(b"scene %d\\n" % sock.getsockname()[1])
                ready.register(sock, selectors.EVENT_READ, False)
            except OSError:
                sock.close()
        else:
            try:
                data = key.fileobj.recv(65536)
                key.fileobj.sendall(data)
            except OSError:
                data = b""
            if not data:
                ready.unregister(key.fileobj)
                key.fileobj.close()
"""


class Console:
    """The SPICE console of a virtual machine on a TLS port: QEMU with a boot sector that shows name and colour.

    ``x509_dir`` is a directory of the machine with ca-cert.pem, server-cert.pem and server-key.pem. ``colour`` is a
    name from :data:`bootsector.COLOURS`; without it the port chooses one. ``rgb`` is what a screenshot will hold. With
    ``agent`` viewers find an agent in the guest, for whom ``agent`` speaks. With more than one ``cards``, it has that
    many displays. With ``tone``, it sounds a tone of that many hertz all the time.
    """

    def __init__(
        self,
        machine,
        name,
        port,
        x509_dir,
        password=None,
        *,
        colour=None,
        wait=True,
        agent=False,
        cards=1,
        tone=None,
    ):
        self.machine, self.name, self.port = machine, name, port
        names = sorted(bootsector.COLOURS)
        self.colour = colour or names[port % len(names)]
        self.rgb = bootsector.shown(bootsector.COLOURS[self.colour])
        self._log = f"/var/log/scene-{name}.log"
        disk, secret = f"/var/lib/scene/{name}.img", f"/var/lib/scene/{name}.password"
        machine.write(disk, bootsector.disk(name, bootsector.COLOURS[self.colour], tone), mode=0o600)
        spice = f"tls-port={port},addr=::,x509-dir={x509_dir}"
        kind, sound = ("q35,pcspk-audiodev=sound", ["-audiodev", "spice,id=sound"]) if tone else ("q35", [])
        command = ["qemu-system-x86_64", "-name", name, "-display", "none", "-machine", kind, "-m", "64", *sound]
        command += ["-nodefaults", "-accel", "tcg", "-vga", "qxl", "-drive", f"file={disk},format=raw,if=ide"]
        command += ["-device", "secondary-vga"] * (cards - 1)
        # A serial line in the place of the guest's agent: it answers nothing unless somebody speaks for it.
        serial = ["-chardev", "spicevmc,id=agent,name=vdagent", "-device", "isa-serial,chardev=agent", "-qmp", "stdio"]
        command += serial if agent else []
        if password is None:
            spice += ",disable-ticketing=on"
        else:
            machine.write(secret, password, mode=0o600)
            command += ["-object", f"secret,id=ticket,file={secret}"]
            spice += ",password-secret=ticket"
        machine.write(self._log, "")
        with open(machine.path(self._log), "ab") as log:
            streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE} if agent else {"stdout": log}
            self._process = machine.popen([*command, "-spice", spice], stderr=log, **streams)
        self.agent = Agent(self._process.stdin, self._process.stdout) if agent else None
        if wait:
            self.wait()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.stop()

    def wait(self, timeout=60):
        """Wait until the port accepts connections, and speaks TLS."""
        deadline = time.monotonic() + timeout
        while self.machine.run([sys.executable, "-I", "-S", "-c", PROBE, self.port], check=False).returncode != 0:
            if self._process.poll() is not None:
                raise SceneError(f"QEMU of {self.name} ended:\n{self.machine.read(self._log)}")
            if time.monotonic() > deadline:
                raise SceneError(f"port {self.port} of {self.name} does not accept within {timeout} s")
            time.sleep(0.05)

    def stop(self):
        """Switch the virtual machine off."""
        self._process.kill_tree()
        for stream in filter(None, (self._process.stdin, self._process.stdout)):
            stream.close()


class Listener:
    """Accepts TCP connections on the ports, IPv4 and IPv6, sends ``scene PORT``, and then echoes its input."""

    def __init__(self, machine, ports):
        self.machine, self.ports = machine, list(ports)
        command = [sys.executable, "-I", "-S", "-c", ACCEPT, *self.ports]
        self._process = machine.popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        said = self._process.stdout.readline()
        if said.strip() != "listening":
            self._process.wait()
            raise SceneError(f"no listener on {machine.name}: {said}{self._process.stdout.read()}")

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.stop()

    def stop(self):
        """Close the ports."""
        self._process.kill_tree()
        self._process.stdout.close()
