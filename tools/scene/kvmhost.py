"""A KVM host in a machine: libvirt with its domains, whose consoles can be told apart, and an SSH server."""

import contextlib
import time
import uuid as uuids
from xml.sax.saxutils import quoteattr

from scene import apart, bootsector
from scene.machine import SceneError

PROGRAMS = ("libvirtd", "virtlogd", "virsh", "sshd", "ssh-keygen")
LIBVIRT = ["virsh", "--quiet", "--connect", "qemu:///system"]
# As Debian has it, with a port and a directory of its own at most.
SSHD = """\
KbdInteractiveAuthentication no
UsePAM yes
X11Forwarding yes
PrintMotd no
AcceptEnv LANG LC_*
Subsystem sftp /usr/lib/openssh/sftp-server
"""
QEMU = """\
security_driver = "none"
user = "root"
group = "root"
remember_owner = 0
cgroup_controllers = [ ]
spice_tls = 1
spice_tls_x509_cert_dir = "{pki}"
"""
# 64 MiB without acceleration: enough for a boot sector.
DOMAIN = """\
<domain type='qemu' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>{name}</name>
  <uuid>{uuid}</uuid>
  <memory unit='MiB'>64</memory>
  <vcpu>1</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw'/><source file='{disk}'/><target dev='sda' bus='sata'/>
    </disk>
    <graphics type='spice' autoport='no' {console}/>
    <video><model type='qxl'/></video>
    <memballoon model='none'/>
  </devices>
  {more}
</domain>
"""
# QEMU lets one viewer in at a time, unless this is said: the next one throws the first out.
SEVERAL = "<qemu:commandline><qemu:env name='SPICE_DEBUG_ALLOW_MC' value='1'/></qemu:commandline>"
LISTENING = ["ss", "-Hltn", "sport = :22"]
PATIENCE = 60


class KvmHost:
    """libvirtd, virtlogd and sshd in a machine. They, and the domains, end with it.

    ``pki`` is a directory of the machine as :mod:`scene.tls` makes it.
    """

    def __init__(self, machine, pki):
        self.machine = machine
        apart.unpack(machine, "kvmhost", *PROGRAMS)
        # Theirs, which only an installation would put into place.
        for path in machine.path("/etc").rglob("*.dpkg-new"):
            path.rename(path.with_suffix(""))
        self._accounts()
        machine.write("/etc/libvirt/qemu.conf", QEMU.format(pki=pki))
        # Networks of the host's own, that libvirt would bring up in this machine.
        machine.run(["rm", "-rf", "/etc/libvirt/qemu/networks", "/etc/libvirt/qemu/autostart"])
        machine.run(["mkdir", "-p", "/var/log/libvirt", "/run/sshd", "/var/lib/scene"])
        machine.run(["find", "/etc/ssh", "-name", "ssh_host_*", "-delete"])
        machine.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", "/etc/ssh/ssh_host_ed25519_key"])
        machine.write("/etc/ssh/sshd_config", SSHD)
        self._running = {}
        try:
            self.start("virtlogd")
            self.start("libvirtd")
            self.start("sshd", "-D", "-e")
            self._wait()
        except BaseException:
            self.stop()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.stop()

    def _accounts(self):
        """Make the accounts of the packages, where these were only unpacked."""
        for name in ("libvirt-qemu", "sshd"):
            command = ["useradd", "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin", name]
            with contextlib.suppress(SceneError):
                self.machine.account(name)
                continue
            self.machine.run(command)

    def start(self, program, *options):
        """Start one of its services."""
        log = f"/var/log/scene-{program}.log"
        self.machine.write(log, "")
        with open(self.machine.path(log), "ab") as stream:
            # sshd wants to be called by its path.
            self._running[program] = self.machine.popen(
                [f"/usr/sbin/{program}", *options], stdout=stream, stderr=stream
            )

    def end(self, program):
        """End one of its services: it is killed. Domains go on without libvirtd, sessions without sshd."""
        process = self._running.pop(program)
        process.kill()
        process.wait()

    def process(self, program):
        """Return the process of a service."""
        return self._running[program]

    def _wait(self):
        deadline = time.monotonic() + PATIENCE
        while self.virsh("list", check=False).returncode or not self.machine.run(LISTENING).stdout:
            if time.monotonic() > deadline or any(process.poll() is not None for process in self._running.values()):
                raise SceneError("no KVM host: " + "".join(map(self.log, self._running)))
            time.sleep(0.1)

    def log(self, program):
        """Return what a service has said."""
        return self.machine.read(f"/var/log/scene-{program}.log")

    @property
    def host_key(self):
        """The public key of the SSH server, without a comment."""
        return " ".join(self.machine.read("/etc/ssh/ssh_host_ed25519_key.pub").split()[:2])

    # Domains

    def virsh(self, *words, **options):
        """Run virsh; return the finished process. ``options`` are those of :meth:`Machine.run`."""
        return self.machine.run([*LIBVIRT, *words], **options)

    def define(self, name, colour, *, uuid=None, several=False, **console):
        """Define a domain whose console shows a name and a colour; return how a screenshot will have that.

        several
            Whether QEMU lets several viewers in at once.

        console
            Attributes of its ``graphics``: ``tlsPort``, ``listen``, ``passwd``, ...
        """
        disk = f"/var/lib/scene/{name}.img"
        self.machine.write(disk, bootsector.disk(name, bootsector.COLOURS[colour]), mode=0o600)
        console = {"listen": "::", **console}
        words = " ".join(f"{key}={quoteattr(str(value))}" for key, value in console.items())
        text = DOMAIN.format(name=name, uuid=uuid or uuids.uuid4(), disk=disk, console=words, more=SEVERAL * several)
        self.virsh("define", "/dev/stdin", input=text)
        return bootsector.shown(bootsector.COLOURS[colour])

    def restart(self, name):
        """Start a domain, anew if it runs."""
        self.virsh("destroy", name, check=False)
        self.virsh("start", name)

    def stop(self):
        """End the services; domains end with the machine."""
        for process in self._running.values():
            process.kill_tree()
