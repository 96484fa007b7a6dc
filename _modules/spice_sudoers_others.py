"""
What sudo itself lets users do besides what is granted: all sources, as ``sudo -l`` sees them.

.. versionadded:: 0.1.0

This is a part of ``spice_sudoers``. No function here changes anything, and none needs pillar or master.
"""

import sys as _sys

# A minion's jobs inherit what its parent imported: drop a copy whose files have changed since (a newer sync).
if getattr(_sys.modules.get("spicegrants"), "stale", object)():
    for _name in [name for name in _sys.modules if name.partition(".")[0] == "spicegrants"]:
        del _sys.modules[_name]

from salt.exceptions import CommandExecutionError
from salt.utils.args import yamlify_arg

from spicegrants.core.calls import checked
from spicegrants.core.errors import translated
from spicegrants.core.reader import chosen
from spicegrants.engine import context
from spicegrants.host import accounts, run
from spicegrants.sudo import sudoers
from spicegrants.sudo.live import privileges, tools

# Salt makes one module of all files with the same name.
__virtualname__ = "spice_sudoers"


def __virtual__():
    return __virtualname__


@checked(CommandExecutionError)
def others(user=None):
    """
    Ask sudo what it lets users do that undoes what is enforced.

    It counts all rules, whether they come from files, LDAP or SSSD.

    user
        Text: name of the one user to ask about. Defaults to those with a grant, the accounts of people (UID 1000 to
        64999), the users that sudo's files name, and the members of groups that they name or that are called sudo,
        wheel, admin or adm. Left out by default are root, and whom pillar's ``spice:sudo:admins`` names.

    Returns a dict of the users for whom there is something. Each has these keys:

    * ``lets``: list of what sudo says that it lets them do, of a fixed list of calls. As root: any program, a shell, a
      viewer, our opener, ``nft``, ``iptables``, ``ip``, ``systemctl stop`` of our unit. With the viewer's group: any
      program, a shell, a viewer.
    * ``rules``: list of the rules that let them. They are judged by more calls than that fixed list has.

    Each rule has these keys:

    * ``what``: what it lets them do.
    * ``where``: ``FILE:LINE``, as far as that can be told, or what sudo calls an entry of another source.
    * ``listed``: an entry of another source, as sudo printed it; empty for one of a file.

    .. code-block:: python

        {
            "nogrant": {
                "lets": ["a shell as root"],
                "rules": [
                    {
                        "what": "may run /bin/sh as root, which includes a shell: as good as root",
                        "where": "LDAP Role: helpdesk",
                        "listed": "LDAP Role: helpdesk\\n    RunAsUsers: root\\n    Commands:\\n\\t/bin/sh",
                    }
                ],
            }
        }

    sudo-rs prints no list that a program could read: with it ``rules`` is empty, and only the fixed list is asked for.

    Reads the stored policy and accounts.

    Runs ``sudo -l`` 12 times or more for each user, ``cvtsudoers`` and ``visudo -c``.

    Raises CommandExecutionError if there is no such user, if sudo cannot be asked, or if what it lists for somebody
    cannot be read.

    CLI Example:

    .. code-block:: bash

        salt '*' spice_sudoers.others
        salt 'client1' spice_sudoers.others anne
    """
    answer = {}
    with translated(CommandExecutionError):
        run.as_root()
        desired = context.compiled()
        legible = not desired.inventory.sudo_rs
        site, tree, granted = privileges.site(desired), tools.tree() if legible else {}, sudoers.rules(desired)
        if user is None:
            names = privileges.users(site, {access.user for access in desired.accesses}, tree)
        else:
            known = accounts.uids(user)
            names = [chosen("user", user, known, yamlify_arg, CommandExecutionError, " on this machine")]
        for name in names:
            lets = privileges.answers(name, site)
            rules = privileges.excess_rules(name, granted, site, tree) if legible else []
            if rules is None:
                raise CommandExecutionError(f"what sudo -ll -U {name} prints cannot be read")
            if lets or rules:
                excess = [{"what": rule.what, "where": where, "listed": listed} for rule, where, listed in rules]
                answer[name] = {"lets": lets, "rules": excess}
    return answer
