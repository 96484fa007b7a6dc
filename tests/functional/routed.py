"""Tries of many connections at once: what routes hold gets no answer, and all of them are waited for together."""

from everybody import answers
from scenes import GROUP

# Connects to all places at once, and says which were reached.
_REACH = """
import errno, select, socket, time

def begun(address, port, device, direct):
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    if device:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
    if direct:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_DONTROUTE, 1)
    sock.setblocking(False)
    return sock, sock.connect_ex((address, port))

def answer(places, device, direct, patience):
    waiting, found, poll = {}, [], select.poll()
    for place in places:
        sock, code = begun(*place, device, direct)
        if code in (0, errno.EINPROGRESS):
            waiting[sock.fileno()] = (place, sock)
            poll.register(sock, select.POLLOUT)
    end = time.monotonic() + patience
    while waiting and (left := end - time.monotonic()) > 0:
        for number, _ in poll.poll(left * 1000):
            place, sock = waiting.pop(number)
            poll.unregister(sock)
            if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
                found.append(place)
    return found

"""


def reached(machine, users, places, *, groups=(None,), device=None, direct=False, patience=1.5):
    """Who reaches what: tuples of user, group, address and port."""
    everybody = [(user, group) for user in users for group in groups]
    asked = [list(place) for place in places], device, direct, patience
    rows = answers(machine, everybody, _REACH, *asked, together=True)
    return {(*who, *place) for who, found in zip(everybody, rows) for place in found}


def granted(*doors, groups=(None, GROUP)):
    """What routes let through: they know no group. Doors are tuples of user, address and port."""
    return {(user, group, address, port) for user, address, port in doors for group in groups}
