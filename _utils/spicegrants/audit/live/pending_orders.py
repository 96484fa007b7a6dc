"""What minions have yet to be given, in the master's own cache."""

from __future__ import annotations

from typing import Any

from spicegrants.audit import pending

# Its place in Salt's cache.
BANK = "spice_grant/pending"


def kept(cache: Any) -> list[pending.Order]:
    """Return all orders that are kept; what is kept in another form is none.

    cache
        Salt's ``salt.cache.factory(__opts__)``.
    """
    found = (pending.order(cache.fetch(BANK, key)) for key in cache.list(BANK))
    return [each for each in found if each is not None]
