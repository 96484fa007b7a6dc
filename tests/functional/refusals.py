"""What is refused altogether: how tests insist on it."""

from functional.office import said

# A grant to somebody who has none.
NEW = {"user": "nogrant", "vm": "debianx"}


def refused(office, pillar, *words):
    """Apply a bad pillar, dry and for real: both are False, name all places, and report no change."""
    office.minion.set_pillar(pillar)
    for test in (True, False):
        result = office.apply(test=test)
        assert (result["result"], result["changes"]) == (False, {}), result
        assert result["comment"].startswith("Nothing was changed.")
        assert [text for text in words if text not in said(result)] == [], said(result)
    return said(result)
