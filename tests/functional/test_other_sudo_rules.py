"""Other sudo rules that open the viewer or undo what is enforced: found in files, and asked of the real sudo."""

import base64
import contextlib
import hashlib
import shutil
import subprocess
import textwrap

import pytest

from functional.office import OPEN, changed, said
from scene import SaltError, need
from scenes import GROUP, SUDOERS, VIEWER, article

need("gcc")
SITE = "/etc/sudoers.d/site"
SSS = "/usr/lib/x86_64-linux-gnu/libsss_sudo.so"
NSSWITCH = "/etc/nsswitch.conf"
DEBIANS = "another sudo rule: %sudo may run ALL as ALL with group ALL: as good as root"
# What sudo loads to ask SSSD, with one rule: root's shell, for nogrant.
RULE = """
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

struct attr { char *name; char **values; unsigned int num_values; };
struct rule { unsigned int num_attrs; struct attr *attrs; };
struct result { unsigned int num_rules; struct rule *rules; };

static char *name[] = {"helpdesk", NULL}, *user[] = {"nogrant", NULL}, *host[] = {"ALL", NULL};
static char *command[] = {"/bin/sh", NULL}, *runas[] = {"root", NULL};
static struct attr attrs[] = {
    {"cn", name, 1}, {"sudoUser", user, 1}, {"sudoHost", host, 1}, {"sudoCommand", command, 1},
    {"sudoRunAsUser", runas, 1}
};
static struct rule rules[] = {{5, attrs}};

int sss_sudo_send_recv(uid_t uid, const char *who, const char *domain, uint32_t *error, struct result **result)
{
    *error = 0;
    *result = calloc(1, sizeof **result);
    (*result)->num_rules = 1;
    (*result)->rules = rules;
    return 0;
}

int sss_sudo_send_recv_defaults(uid_t uid, const char *who, uint32_t *error, char **domain, struct result **result)
{
    *error = 0;
    *domain = strdup("office");
    *result = calloc(1, sizeof **result);
    return 0;
}

int sss_sudo_get_values(struct rule *rule, const char *wanted, char ***values)
{
    for (unsigned int number = 0; number < rule->num_attrs; number++)
        if (strcmp(rule->attrs[number].name, wanted) == 0) {
            *values = rule->attrs[number].values;
            return 0;
        }
    return 2;
}

void sss_sudo_free_result(struct result *result) { free(result); }
void sss_sudo_free_values(char **values) { (void)values; }
"""


@pytest.fixture
def call(keeper):
    """Call a function of the office's minion."""
    return lambda *arguments: keeper.office.minion.call(*arguments)


@contextlib.contextmanager
def site(office, text, **more):
    """Have a file of the site's in sudoers.d, and others beside it."""
    files = {SITE: text, **{f"/etc/sudoers.d/{name}": content for name, content in more.items()}}
    for path, content in files.items():
        office.client.write(path, textwrap.dedent(content), mode=0o440)
    try:
        yield
    finally:
        office.client.run(["rm", *files])


def strict(**sudo):
    """The article's pillar with a strict policy that accepts Debian's own rule."""
    return changed(article(), sudo={"strict": True, "admins": ["%sudo"], **sudo})


def notes(result):
    """What a run notes of other sudo rules."""
    return [line[6:-1] for line in said(result).splitlines() if line.startswith("Note: another sudo rule")]


def standing(office):
    """What is to be noted of other sudo rules, whether a run has said it already or not."""
    answer, _ = office.minion.call_raw("spice_grant.status")
    return [note for note in answer["notes"] if note.startswith("another sudo rule")]


# What each line of a file lets nogrant do.
RULES = {
    "nogrant ALL=(ALL:ALL) ALL": "as good as root",
    f"nogrant ALL=(ALL) ALL, !{VIEWER}": "as good as root",
    "nogrant ALL=(root) NOPASSWD: /usr/bin/*": "includes a shell: as good as root",
    "nogrant ALL=(root) /usr/bin/": "includes a shell: as good as root",
    "nogrant ALL=/bin/bash": "includes a shell: as good as root",
    "nogrant ALL=sha256:{digest} /usr/bin/dash": "includes a shell: as good as root",
    "#1023 ALL=(root) /bin/sh": "includes a shell: as good as root",
    "%#1023 ALL=(root) /bin/sh -c *": "includes a shell: as good as root",
    "OPS ALL=(root) TOOLS": "includes nft",
    "nogrant HERE=(root) /usr/sbin/nft": "includes nft",
    "nogrant ALL=(root) /usr/sbin/nft flush *": "includes nft",
    "nogrant ALL=(root) /usr/bin/systemctl stop spice-grant*": "includes systemctl stop of our units",
    f"nogrant ALL=(root) sudoedit {SUDOERS}": f"includes editing {SUDOERS}",
    "nogrant ALL=(:ALL) /usr/bin/id": f"includes a program with group {GROUP}",
    f"nogrant ALL=(:{GROUP}) /usr/bin/id": f"includes a program with group {GROUP}",
    "nogrant ALL=(nobody:#{gid}) /usr/bin/id": f"includes a program with group {GROUP}",
    f"nogrant ALL=(:{GROUP}) {VIEWER}": f"includes {VIEWER}",
    "nogrant ALL=(myself) /bin/sh": "includes acting as myself with grants",
}
ALIASES = """\
User_Alias OPS = nogrant
Cmnd_Alias TOOLS = /bin/ls, NET
Cmnd_Alias NET = /usr/sbin/nft
Host_Alias HERE = client, other
"""


def test_rules_that_open_or_undo_something_are_reported(looked_at, call):
    """In files by their lines, in a run and by rules; by sudo itself, for the user whom they are about."""
    dash = looked_at.client.path("/usr/bin/dash").read_bytes()
    digest = base64.b64encode(hashlib.sha256(dash).digest()).decode()
    lines = [rule.format(gid=looked_at.gid(), digest=digest) for rule in RULES]
    desired = {f"{SITE}:{number}": text for number, text in enumerate(RULES.values(), 5)}
    with site(looked_at, ALIASES + "\n".join([*lines, ""])):
        found = {entry["where"]: entry for entry in call("spice_sudoers.rules") if entry["foreign"]}
        assert {place: found[place]["what"].endswith(text) for place, text in desired.items()} == dict.fromkeys(
            desired, True
        )
        assert len(found) == len(desired) + 1
        assert len(notes(looked_at.apply(test=True))) == len(desired)
        noted = standing(looked_at)
        assert len(noted) == len(desired) + 1 and not [text for text in desired.values() if text not in "".join(noted)]
        entries = call("spice_sudoers.others", "nogrant")["nogrant"]["rules"]
        assert len(entries) == len(desired) and not any(entry["listed"] for entry in entries)
        for place, text in desired.items():
            (entry,) = [entry for entry in entries if place in entry["where"].split(" and ")]
            assert entry["what"].endswith(text)


HARMLESS = """\
{user} ALL=(root) /usr/bin/systemctl restart cups, /usr/sbin/nft list ruleset, /usr/bin/apt
{user} other=(ALL:ALL) ALL
{user} ALL, !client=(ALL:ALL) ALL
{user} ALL=(nobody) ALL
{user} ALL=(:accounting) ALL
{user} ALL=(root) ALL, !ALL
{user} ALL=({user}) NOPASSWD: ALL
root ALL=(ALL) ALL
{own}
"""


@pytest.mark.parametrize("user", ["nogrant", "myself"])
def test_any_other_rule_is_not(looked_at, call, user):
    """Rules for other commands, hosts, users and groups; and our own once more."""
    own = "\n".join(line for line in looked_at.client.read(SUDOERS).splitlines() if " ALL=(" in line)
    with site(looked_at, HARMLESS.format(user=user, own=own)):
        assert notes(looked_at.apply(test=True)) == [] and standing(looked_at) == [DEBIANS]
        assert call("spice_sudoers.others", user) == {}


@pytest.mark.parametrize("user", ["nogrant", "myself"])
def test_what_sudo_itself_lets_somebody_do(looked_at, call, user):
    """By its exit code: -g without -u stands for the user, whom sudo takes for the one who asks."""
    # 1.9.16 does so without -g as well: it says more than it does.
    takes_root_for_the_user = "1.9.16" in looked_at.client.run(["sudo", "--version"]).stdout.splitlines()[0]
    rules = {
        f"{user} ALL=(ALL:ALL) ALL": {"any program as root", f"any program with group {GROUP}", "the opener as root"},
        f"{user} ALL=(root) /bin/sh": {"a shell as root"},
        f"{user} ALL=(:{GROUP}) /bin/sh": {f"a shell with group {GROUP}"},
        f"{user} ALL=({user}:{GROUP}) /bin/sh": {f"a shell with group {GROUP}"},
        f"{user} ALL=(:{GROUP}) {VIEWER}": {f"{VIEWER} with group {GROUP}"},
        f"{user} ALL=(root) /usr/sbin/nft flush ruleset": {"nft flush ruleset as root"},
    }
    for rule, desired in rules.items():
        with site(looked_at, f"{rule}\n"):
            found = set(call("spice_sudoers.others", user)[user]["lets"])
            if takes_root_for_the_user:
                found -= {"a shell as root", f"{VIEWER} as root"} - desired
            assert found >= desired - {"the opener as root"} and ("ALL=(ALL" in rule or found == desired), rule


def test_included_files_of_all_ways(looked_at, call):
    """By a relative name, by an absolute one, from a directory: the file and line are those where the rule stands."""
    looked_at.client.run(["mkdir", "/etc/sudoers.more"])
    looked_at.client.write("/etc/sudoers.more/deep", "\n\\\n\nnogrant ALL = \\\n  (root) \\\n  /bin/sh\n", mode=0o440)
    looked_at.client.write("/etc/elsewhere", b"User_Alias A = nogrant  # caf\xe9\n\nA ALL=/bin/bash\n", mode=0o440)
    text = "@include beside\n#include /etc/elsewhere\n@includedir /etc/sudoers.more\n#1023 ALL=/usr/sbin/nft\n"
    with site(looked_at, text, beside="nogrant ALL=/usr/sbin/visudo\nnogrant ALL=/usr/sbin/visudo\n"):
        found = {
            entry["where"] for entry in call("spice_sudoers.rules") if "where" in entry and entry["who"] != "%sudo"
        }
        assert found == {
            "/etc/sudoers.d/beside:1 and /etc/sudoers.d/beside:2",
            "/etc/elsewhere:3",
            "/etc/sudoers.more/deep:4",
            f"{SITE}:4",
        }
    looked_at.client.run(["rm", "-r", "/etc/sudoers.more", "/etc/elsewhere"])


@pytest.mark.salt
def test_who_is_asked_about(shared, call):
    """Users with grants, people, whom rules name, and the members of groups that rules name; not root, nor admins."""
    shared.client.run(["useradd", "--system", "--gid", "operator", "operator"])
    shared.client.run(["gpasswd", "--add", "operator", "accounting"])
    shared.client.run(["gpasswd", "--add", "mybro", "sudo"])
    try:
        with site(shared, "%accounting ALL=/bin/sh\ngames ALL=/bin/sh\nroot ALL=/bin/sh\n"):
            found = call("spice_sudoers.others")
            assert set(found) == {"operator", "games", "mybro"}
            assert found["mybro"]["rules"][0]["where"].startswith("/etc/sudoers:")
            shared.apply(strict(admins=["%sudo", "games"]))
            assert set(call("spice_sudoers.others")) == {"operator"}
        with pytest.raises(SaltError, match="no user 'nobodyatall'"):
            call("spice_sudoers.others", "nobodyatall")
    finally:
        shared.apply(article())
        shared.client.run(["userdel", "operator"])
        shared.client.run(["gpasswd", "--delete", "mybro", "sudo"])


# strict


def test_strict_makes_the_run_fail_and_enforces_all_the_same(shared):
    """The same errors each time and with test=True, a note once; new grants open, the site's file is not touched."""
    with site(shared, "nogrant ALL=(root) /usr/sbin/nft\nDefaults targetpw\n"):
        before = shared.client.read(SITE)
        data = strict()
        data["spice"]["grants"]["nogrant-debianx"] = {"user": "nogrant", "vm": "debianx"}
        dry, done, again = shared.apply(data, test=True), shared.apply(data), shared.apply(data)
        error = f"sudo: another sudo rule: nogrant may run /usr/sbin/nft as root, which includes nft ({SITE}:1)"
        for result in (dry, done, again):
            assert result["result"] is False and error in said(result).splitlines()
        note = f"another sudo rule: Defaults targetpw: sudo asks for the password of the target user ({SITE}:2)"
        assert [notes(result) for result in (dry, done, again)] == [[note], [note], []]
        assert dry["changes"] == done["changes"] and again["changes"] == {}
        assert len(shared.openings()) == len(OPEN) + 1
        assert shared.client.read(SITE) == before
    assert shared.apply(strict())["result"] is True
    assert DEBIANS not in said(shared.apply(strict()))
    failed = shared.apply(strict(admins=[]))
    assert failed["result"] is False and f"sudo: {DEBIANS} (/etc/sudoers:" in said(failed)


def test_strict_makes_verify_differ(shared):
    """sudo's own answers are part of the proof, and the line of the rule."""
    shared.applied(strict())
    assert shared.verify()["ok"]
    with site(shared, f"myself ALL=(:{GROUP}) /bin/sh\n"):
        answer = shared.verify(user="myself")
    assert answer["differences"][-2:] == [
        f"sudo lets myself: a shell with group {GROUP}",
        f"another sudo rule: myself may run /bin/sh as themselves with group {GROUP}, "
        f"which includes a program with group {GROUP} ({SITE}:1)",
    ]
    assert shared.verify(user="myself")["ok"]


def test_without_strict_nothing_fails(shared):
    result = shared.apply(changed(article(), sudo={"admins": ["%sudo"]}))
    assert result["result"] is True and notes(result) == standing(shared) == []


def test_a_tree_that_cannot_be_read_is_an_error_where_it_is_strict(shared):
    assert shared.apply(strict())["result"] is True
    with site(shared, "this is no rule\n"):
        result = shared.apply(strict())
        assert result["result"] is False and "other files' sudo rules cannot be read" in result["comment"]
        assert shared.openings() >= OPEN


def test_defaults_that_overrule_ours(shared):
    """A site's defaults for the viewer that stand behind ours: without them the environment is what it must be."""
    with site(shared, "", **{"zz-site": f"Defaults!{VIEWER} env_keep += GTK_MODULES\n"}):
        result = shared.apply(strict())
        text = f"Defaults!{VIEWER} sets env_keep for our commands as well (/etc/sudoers.d/zz-site:1)"
        assert result["result"] is False and text in result["comment"]
    with site(shared, "", **{"aa-site": f"Defaults!{VIEWER} env_keep += GTK_MODULES\n"}):
        assert shared.apply(strict())["result"] is True


# Sources other than files


@pytest.fixture(scope="module")
def sss(tmp_path_factory):
    """What sudo loads for SSSD, with a rule for nogrant."""
    directory = tmp_path_factory.mktemp("sss")
    (directory / "rule.c").write_text(RULE)
    command = [shutil.which("gcc"), "-shared", "-fPIC", "-o", directory / "libsss_sudo.so", directory / "rule.c"]
    subprocess.run(command, check=True)
    return (directory / "libsss_sudo.so").read_bytes()


@pytest.fixture
def directory(shared, sss):
    """The office, whose sudo has rules of a directory as well."""
    before = shared.client.read(NSSWITCH)
    shared.client.write(SSS, sss)
    shared.client.write(NSSWITCH, f"{before}\nsudoers: files [SUCCESS=continue] sss  # both\n")
    try:
        yield shared
    finally:
        shared.client.write(NSSWITCH, before)
        shared.client.run(["rm", SSS])


def test_a_rule_of_a_directory(directory, call):
    """sudo is asked about it; the entry is named as sudo names it, in its own words."""
    assert directory.sudo("nogrant", "/bin/sh", "-c", "id -u").stdout == "0\n"
    assert call("spice_sudoers.others") == {
        "nogrant": {
            "lets": ["a shell as root"],
            "rules": [
                {
                    "what": "may run /bin/sh as root, which includes a shell: as good as root",
                    "where": "LDAP Role: helpdesk",
                    "listed": "LDAP Role: helpdesk\n    RunAsUsers: root\n    Commands:\n\t/bin/sh",
                }
            ],
        }
    }


def test_a_rule_of_a_directory_in_a_run(directory):
    """A run says that nobody has looked there; a strict one asks sudo."""
    result = directory.apply()
    assert result["result"] is True and f"sudo takes rules from sss ({NSSWITCH}) as well" in result["comment"]
    text = "nogrant may run /bin/sh as root, which includes a shell: as good as root (LDAP Role: helpdesk)"
    for _ in range(2):
        result = directory.apply(strict())
        assert result["result"] is False and f"sudo: another sudo rule: {text}" in said(result).splitlines()
    assert directory.apply(strict(admins=["%sudo", "nogrant"]))["result"] is True


def test_a_main_file_elsewhere(shared):
    """What sudo lists and is in no line that we know is reported all the same."""
    before = shared.client.read("/etc/sudo.conf")
    shared.client.write("/etc/elsewhere", "nogrant ALL=(root) /usr/sbin/nft\n", mode=0o440)
    shared.client.write("/etc/sudo.conf", "Plugin sudoers_policy sudoers.so sudoers_file=/etc/elsewhere\n")
    try:
        comment = said(shared.apply(strict()))
        assert "sudo: another sudo rule: nogrant may run /usr/sbin/nft as root, which includes nft" in comment
    finally:
        shared.client.write("/etc/sudo.conf", before)
        shared.client.run(["rm", "/etc/elsewhere"])


def test_another_policy_than_sudoers(shared):
    """What sudo prints then means nothing to us: unreadable is not harmless."""
    before = shared.client.read("/etc/sudo.conf")
    shared.client.write("/etc/sudo.conf", "Plugin approve /nowhere/approve.so\n")
    try:
        assert "sudo takes rules from approve /nowhere/approve.so (/etc/sudo.conf) as well" in said(shared.apply())
        result = shared.apply(strict())
        assert result["result"] is False and "what sudo lets myself do cannot be read" in result["comment"]
    finally:
        shared.client.write("/etc/sudo.conf", before)
