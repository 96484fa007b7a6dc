"""All attacks, as their modules declare them.

An attack is a module in one of this package's directories; the directory's docstring is its heading. It has:

docstring
    what is tried, in one sentence. It is the attack's row in docs/attacks.md.
RECIPE
    ``"succeeds"`` or ``"fails"``: what becomes of it against the recipe.
STOPPED_BY
    what stops it in ours: the layer and, behind a colon, the feature.
attack(client)
    plays it on a :class:`attacks.clients.Client` and returns what the attacker has of it: nothing, if it failed.
site(client)
    if it is there, what root has set up on this workstation, before anything protects it.
NEEDS
    if it is there, programs that are needed.
BACKENDS
    if it is there, backends of our firewall against which it is played; nftables by itself.
"""

import importlib
import pathlib
from dataclasses import dataclass
from types import ModuleType

HERE = pathlib.Path(__file__).parent
OUTCOMES = {"succeeds": True, "fails": False}


@dataclass(frozen=True)
class Attack:
    """One attack."""

    group: str
    name: str
    module: ModuleType

    @property
    def text(self):
        """What is tried."""
        return " ".join(self.module.__doc__.split())

    @property
    def recipe(self):
        """Whether it succeeds against the recipe."""
        return OUTCOMES[self.module.RECIPE]

    @property
    def stopped_by(self):
        """What stops it in ours."""
        return self.module.STOPPED_BY

    @property
    def needs(self):
        """Programs that are needed."""
        return getattr(self.module, "NEEDS", ())

    @property
    def forms(self):
        """The clients on which it is played, by what they have against it, and whether it succeeds there."""
        backends = getattr(self.module, "BACKENDS", ("nftables",))
        return {"bare": True, "recipe": self.recipe, **dict.fromkeys(backends, False)}

    def play(self, client):
        """Play it on a client that is as good as new; return what the attacker has of it."""
        if hasattr(self.module, "site"):
            self.module.site(client)
        client.protect()
        assert client.serves(), "nobody reaches a console: this says nothing"
        return self.module.attack(client)


def groups():
    """Directories of attacks with their headings, in order."""
    return {path.parent.name: _module(path.parent.name).__doc__.strip() for path in sorted(HERE.glob("*/__init__.py"))}


def attacks():
    """All attacks, in order."""
    return [
        Attack(group, path.stem, _module(f"{group}.{path.stem}"))
        for group in groups()
        for path in sorted((HERE / group).glob("*.py"))
        if path.stem != "__init__"
    ]


def _module(name):
    return importlib.import_module(f"attacks.{name}")
