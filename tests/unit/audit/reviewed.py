"""Reviews to test with: the office of the examples on two desks, a third that is silent, and what the record tells."""

from spicegrants.audit import review, review_document
from spicegrants.audit.fleet import Answer
from spicegrants.policy import pillar
from spicegrants.policy.compiler import compile_policy
from spicegrants.policy.decision import day_of
from spicegrants.policy.loans_locks import NOTHING
from spicegrants.record import events
from spicegrants.schedule import instants
from unit.audit.drawn import TEMPORARY
from unit.build import article, changed, inventory
from unit.policy.test_examples import PILLAR, moment, office

NOW = "2026-11-24T14:30"
HOSTILE = "</td><script>alert(1)</script>\"'><img src=x onerror=x>&amp;=1+1\x1b[2J\x00\ud800\u202e\n"


def at(text):
    """A moment of the office's zone as events have it."""
    return instants.iso(moment(text))


def session(name, user, vm, start, end=None):
    """The events of a session."""
    about = {"session": name, "user": user, "vm": vm, "grants": []}
    found = [{"at": at(start), "event": events.OPENED, **about}]
    return found + ([{"at": at(end), "event": events.ENDED, "start": at(start), **about}] if end else [])


def refusal(user, vm, when, **more):
    return {"at": at(when), "event": events.REFUSED, "user": user, "vm": vm, "by": "opener", "why": "no", **more}


RECORDED = [
    *session("a", "anne", "web", "2026-06-01T09:00", "2026-06-01T10:00"),
    *session("b", "charlie", "books", "2026-11-19T08:02", "2026-11-19T17:40"),
    *session("c", "charlie", "books", "2026-11-20T07:30", "2026-11-20T12:00"),
    refusal("charlie", "books", "2026-11-20T19:00", count=3),
    *session("d", "boss", "books", "2026-11-23T18:05", "2026-11-23T21:58"),
    refusal("maggie", "web", "2026-11-24T10:01"),
    *session("e", "charlie", "books", "2026-11-24T08:10"),
]
OPEN = RECORDED[-1:]


def facts(recorded=RECORDED, now_open=OPEN, **more):
    uses = review.uses(recorded, now_open, at("2026-08-26T14:30"), at(NOW))
    return review.Facts(uses, {"maggie": "its password is locked"}, {"ralph"}, **more)


def rows(machine="desk-1", temporary=TEMPORARY, known=None):
    """The rows of one desk of the office."""
    return review.rows(office(NOW, temporary), machine, facts() if known is None else known)


def made(data=None, now="2020-01-02T12:00", known=None, temporary=NOTHING, **found):
    """The rows of the article's desk, with another pillar or other accounts."""
    seconds = instants.parse_moment(now, "UTC")
    policy = pillar.parse_policy(article() if data is None else data)
    desired = compile_policy(policy, inventory(**found), temporary=temporary, now=seconds, day=day_of(seconds))
    return review.rows(desired, "desk-1", review.Facts({}, {}, ()) if known is None else known)


def answers():
    """What the fleet answered: two desks, of which one has another pillar for anne, and none from the third."""
    other = rows("desk-2", NOTHING, facts([], []))
    for each in other:
        for about in each["grants"].values():
            about["owner"] = "accounting"
    return {"desk-1": Answer(rows()), "desk-2": Answer(other)}


def whole():
    """The review of that fleet."""
    expected = ("desk-1", "desk-2", "desk-3")
    found = review.merged(expected, answers())
    return review_document.Review(moment(NOW), at("2026-08-26T14:30"), len(expected), found)


def earlier():
    """An earlier review: maggie had it by a group, ralph had nothing, a guest and a visitor had a console each."""
    before = [each for each in whole().accesses if each["user"] != "ralph"]
    guest = {**before[0], "user": "guest", "vm": "web", "grants": {"guest-web": {"when": "always"}}}
    lost = {**guest, "user": "visitor", "desks": ["desk-3"], "grants": {"visitor-web": {"when": "always"}}}
    before[-1] = {**before[-1], "groups": ["family"], "flags": []}
    return review_document.Old(
        "2026-08-24T10:00:00Z", [*before, guest, lost], ["1 row(s) of the earlier review cannot be read"]
    )


def compared():
    """The review with what is different from that."""
    return whole().compared(earlier())


def left(user="ghost", **grant):
    """A pillar with a grant of somebody who left."""
    return changed(article(), grants__gone={"user": user, "vm": "debianx", **grant})


def office_pillar():
    """Where the office's pillar stands."""
    return PILLAR / "examples" / "office.sls"
