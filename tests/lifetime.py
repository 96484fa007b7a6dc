"""The end of pytest's workers: with the process that started them, however that ends, and with them their machines."""

import ctypes
import signal

PDEATHSIG = 1  # of prctl(2)


def end_with_controller(config):
    """Have a worker be killed once its controller is gone: else it waits for the threads of plug-ins for ever."""
    if hasattr(config, "workerinput"):
        ctypes.CDLL(None).prctl(PDEATHSIG, signal.SIGKILL, 0, 0, 0)
