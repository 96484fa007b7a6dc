"""The viewer as its users have it: started by rviewer, on a desktop, before a real console."""

import subprocess

from scene.desktop import Desktop

# Seconds; what ends, ends long before.
PATIENCE = 60
SOCKETS = ["ss", "--no-header", "--tcp", "--numeric", "--extended", "state", "established"]


class Viewer:
    """The viewer that a user started by rviewer, and so by the real sudo rule, on a desktop of their own."""

    def __init__(self, office, user, vm, display):
        self.office, self.account = office, office.client.account(user)
        self.desktop = Desktop(office.client, user, display=display)
        self.process = self.desktop.popen(["rviewer"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.vm, self.console = vm, office.consoles[vm]

    def shows(self):
        """Whether the desktop shows the console."""
        return self.desktop.shows(self.console.rgb, timeout=0)

    def waits_until_it_shows(self):
        """Wait for the console's picture and for a window with its name."""
        assert self.desktop.shows(self.console.rgb)
        self.desktop.wait_window(self.vm)

    def connections(self):
        """Local ports of its connections to the console, of those that are established."""
        lines = self.office.client.run([*SOCKETS, "dst", f":{self.console.port}"]).stdout.splitlines()
        return {line.split()[2] for line in lines if f"uid:{self.account['uid']}" in line.split()}

    def ends(self, seconds):
        """Whether it leaves within the time."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def stop(self):
        """End desktop and viewer."""
        self.process.kill_tree()
        self.desktop.stop()


def moving(desktop):
    """Return a process that moves the mouse over the viewer's window all the time."""
    there_and_back = ["mousemove", "400", "300", "sleep", "0.05", "mousemove", "600", "400", "sleep", "0.05"]
    return desktop.popen(["xdotool", *there_and_back * 200], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
