"""What a master's runners have in common: asking minions, and compiling their pillars, by Salt's own means.

Salt itself is handed in, as nothing here imports it.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from spicegrants.audit import fleet
from spicegrants.core.errors import SeveralFaults, SystemFault
from spicegrants.core.reader import did_you_mean
from spicegrants.host import terminal

_ODD_PILLAR = (AttributeError, KeyError, TypeError, ValueError)
Asked = tuple["set[str]", "dict[str, fleet.Answer]"]


class Master:
    """A master and its minions.

    salt
        The package, with its modules ``client``, ``exceptions``, ``pillar`` and ``utils.minions``.

    opts
        Salt's ``__opts__``.
    """

    def __init__(self, salt: Any, opts: Mapping[str, Any]) -> None:
        self._salt = salt
        self._opts = opts

    def matching(self, tgt: Any, tgt_type: str) -> set[str]:
        """Return the minions with an accepted key whom a target means."""
        return set(self._salt.utils.minions.CkMinions(self._opts).check_minions(tgt, tgt_type)["minions"])

    def ask(
        self,
        function: str,
        arg: Collection[Any],
        kwarg: Mapping[str, Any],
        tgt: Any,
        tgt_type: str,
        batch: Any,
        timeout: Any,
        quiet: bool,
    ) -> Asked:
        """Run a function on minions; return those it was meant for, and the answers of those that gave one.

        Raises :class:`~spicegrants.core.errors.SystemFault` if there are none, or ``batch`` is wrong.
        """
        expected = self.matching(tgt, tgt_type)
        if not expected:
            hint = did_you_mean(tgt, self.matching("*", "glob"))
            raise SystemFault(f"no minion with an accepted key matches {tgt!r} ({tgt_type}){hint}")
        try:
            asked = fleet.groups(expected, batch)
        except ValueError as error:
            raise SystemFault(str(error)) from error
        answers: dict[str, fleet.Answer] = {}
        local_client = self._salt.client.get_local_client
        with local_client(mopts=self._opts) as client, terminal.live_line(not quiet) as line:
            if len(asked) > 1:
                # So that no batch waits for those that are down.
                up = {}
                line.count("pings answered", 0, len(expected))
                for minion, answer in _answers(client, sorted(expected), "test.ping", (), {}, timeout):
                    up[minion] = answer
                    line.count("pings answered", len(up), len(expected))
                asked = fleet.groups(up, batch)
            for number, group in enumerate(asked, 1):
                what = "minions answered" if len(asked) == 1 else f"batch {number} of {len(asked)}, minions answered"
                line.count(what, len(answers), len(expected))
                for minion, answer in _answers(client, group, function, arg, kwarg, timeout):
                    if minion in expected:
                        answers[minion] = answer
                        line.count(what, len(answers), len(expected))
        return expected, answers

    def pillar(self, minion: str) -> Any:
        """Compile a minion's pillar as the master does for it.

        Raises :class:`~spicegrants.core.errors.SystemFault` if that fails.
        """
        _, grains, _ = self._salt.utils.minions.get_minion_data(minion, self._opts)
        opts = {**copy.deepcopy(dict(self._opts)), "pillar_safe_render_error": False, "file_client": "local"}
        try:
            compiler = self._salt.pillar.Pillar(opts, {**(grains or {}), "id": minion}, minion, None)
            try:
                data = compiler.compile_pillar()
            finally:
                compiler.destroy()
        except (self._salt.exceptions.SaltException, *_ODD_PILLAR) as error:
            raise SystemFault(fleet.line(error)) from error
        if data.get("_errors"):
            raise SeveralFaults(fleet.line(str(error).split("\n---")[0]) for error in data["_errors"])
        return data


def _answers(
    client: Any, minions: Collection[str], function: str, arg: Collection[Any], kwarg: Mapping[str, Any], timeout: Any
) -> Iterator[tuple[str, fleet.Answer]]:
    """Yield minions and their answers, as they come."""
    for found in client.cmd_iter(minions, function, arg, timeout, "list", kwarg=kwarg):
        for minion, answer in (found or {}).items():
            if isinstance(answer, dict) and "ret" in answer:
                code = answer.get("retcode")
                yield minion, fleet.Answer(answer["ret"], code if isinstance(code, int) else 0)


def table(rows: list[fleet.Row], wrong: bool) -> dict[str, Any]:
    """Return rows with the exit code of a runner that has asked, as :func:`shown` does."""
    return shown({"retcode": int(wrong), "minions": rows})


def shown(data: dict[str, Any]) -> dict[str, Any]:
    """Return data in the form in which Salt takes the name of an outputter from a runner."""
    return {"outputter": "spice_grant", "data": data}
