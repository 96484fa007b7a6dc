"""What is said of calls as people type them."""

import inspect

import pytest

from spicegrants.core.calls import checked


class Wrong(Exception):
    """As Salt's own."""


@checked(Wrong)
def lend(user, vm, duration, reason=None, nopasswd=False):
    """Lend."""
    return user, vm, duration, reason, nopasswd


ARGUMENTS = "(arguments: user, vm, duration, reason=None, nopasswd=False)"


@pytest.mark.parametrize(
    ("given", "named", "said"),
    [
        (["anne"], {"vm": "books"}, "'duration' is missing"),
        ([], {}, "'user' is missing; 'vm' is missing; 'duration' is missing"),
        ([], {"usr": "anne", "vm": "books"}, "no argument 'usr', did you mean 'user'?"),
        (["anne"], {"vn": 1, "xyzzy": 2}, "no argument 'vn', did you mean 'vm'?; no argument 'xyzzy'"),
        ([1, 2, 3, 4, 5, 6], {}, "6 arguments are too many"),
        (["anne", "books"], {"user": "ralph"}, "'user' is given twice"),
        ([], {"a\x1b[2J\n": 1}, "no argument 'a\\x1b[2J\\n'"),
    ],
)
def test_what_is_wrong_and_which_arguments_there_are(given, named, said):
    with pytest.raises(Wrong) as caught:
        lend(*given, **named)
    assert str(caught.value) == f"{said} {ARGUMENTS}"
    assert str(caught.value).isprintable()


def test_a_right_call_is_carried_out_without_what_salt_adds():
    found = lend("anne", duration="2h", vm="books", __pub_jid="1", __pub_fun="spice_grant.lend")
    assert found == ("anne", "books", "2h", None, False)


def test_it_shows_salt_a_function_of_any_keyword_and_all_else_the_exact_one():
    assert str(inspect.signature(lend)) == "(user, vm, duration, reason=None, nopasswd=False, **kwargs)"
    assert str(lend.exact) == "(user, vm, duration, reason=None, nopasswd=False)"
    assert (lend.__name__, lend.__doc__, lend.__module__) == ("lend", "Lend.", __name__)
    assert not hasattr(lend, "__wrapped__"), "Salt would look at the function itself"
