"""Runs a piece of Python in a machine as each of some users and groups."""

import json
import sys

# Started by root, it becomes them, one after the other or all at once.
_EACH = """
import json, os, sys

def heard(reading):
    with open(reading) as stream:
        result = json.load(stream)
    os.wait()
    return result

everybody, arguments, together = json.loads(sys.argv[1])
answers, waiting = [], []
for uid, gid in everybody:
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.setgroups([gid])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
        with open(writing, "w") as stream:
            json.dump(answer(*arguments), stream)
        os._exit(0)
    os.close(writing)
    waiting.append(reading)
    if not together:
        answers.append(heard(waiting.pop()))
answers += [heard(reading) for reading in waiting]
print(json.dumps(answers))
"""


def answers(machine, everybody, source, *arguments, together=False):
    """What a function says to each, in order; ``None`` for a group is the user's own.

    source
        Defines it: ``answer``, which gets the arguments. What it needs it imports itself.

    together
        Whether all are asked at once.
    """
    ids = []
    for user, group in everybody:
        account = machine.account(user)
        ids.append([account["uid"], account["gid"] if group is None else machine.group_id(group)])
    return answers_of(machine, ids, source, *arguments, together=together)


def answers_of(machine, ids, source, *arguments, together=False):
    """What a function says to pairs of UID and GID, in order, whether there are such accounts or not."""
    done = machine.run([sys.executable, "-I", "-S", "-c", source + _EACH, json.dumps([ids, arguments, together])])
    return json.loads(done.stdout)
