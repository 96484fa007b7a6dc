"""Fingerprint of a policy: whether two machines enforce the same. Pure."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

from spicegrants.policy.model import Policy, to_pillar


def fingerprint(policy: Policy) -> str:
    """Return a short digest of a policy: two policies that mean the same have the same, on any machine.

    Of a password it covers only that there is one: such a digest could be used to try passwords. It leaves out the
    desks, which no desk stores.
    """
    data = to_pillar(replace(policy, desks={}))
    vms = {name: {**vm, "password": "password" in vm} for name, vm in data["vms"].items()}
    text = json.dumps({**data, "vms": vms}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]
