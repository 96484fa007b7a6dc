"""Ask PAM whether sudo would let accounts in now: they may have expired, say, or the site's rules refuse them.

This is a program of its own, for the system's Python: PAM loads the site's modules, and the libraries that they need,
into the process that asks. It prints PAM's words by account, as JSON; they are empty where PAM lets the account in.
"""

import ctypes
import ctypes.util
import json
import sys

SERVICE = b"sudo"
# From security/_pam_types.h of Linux-PAM.
_SUCCESS, _CONVERSATION_FAILS, _SILENT = 0, 19, 0x8000
_TTY, _ASKING_USER = 3, 8

_Answer = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)


class _Conversation(ctypes.Structure):
    _fields_ = [("answer", _Answer), ("data", ctypes.c_void_p)]


def refusal(user: str) -> str:
    """Return why PAM refuses an account; empty if it does not, or if there is no PAM."""
    found = ctypes.util.find_library("pam")
    if found is None:
        return ""
    pam = ctypes.CDLL(found)
    pam.pam_strerror.restype = ctypes.c_char_p
    handle = ctypes.c_void_p()
    # Nobody is there to be asked for anything.
    conversation = _Conversation(_Answer(lambda *_: _CONVERSATION_FAILS), None)
    name = user.encode()
    code = pam.pam_start(SERVICE, name, ctypes.byref(conversation), ctypes.byref(handle))
    if code == _SUCCESS:
        pam.pam_set_item(handle, _TTY, b"")
        pam.pam_set_item(handle, _ASKING_USER, name)
        code = pam.pam_acct_mgmt(handle, _SILENT)
    message = "" if code == _SUCCESS else pam.pam_strerror(handle, code).decode(errors="replace")
    pam.pam_end(handle, code)
    return message


def main() -> None:
    """Ask about the accounts that the arguments name."""
    print(json.dumps({user: refusal(user) for user in sys.argv[1:]}))


if __name__ == "__main__":
    main()
