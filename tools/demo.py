"""Demonstration of the article's office on this machine: a client, a server, the example pillar, and the proof.

Then the KVM host's half, with two desks.

Run by ``make demo``, as root. Everything happens in namespaces with private file systems: the host is not changed, and
nothing is left behind but a page with all of it, ``build/demo.html``.
"""

import argparse
import contextlib
import importlib.metadata
import os
import pathlib
import platform
import subprocess
import sys
import time

import demo_host
import demo_page
import demo_parts
import picture
from scene.machine import CHECKOUT


class Told:
    """What is done: said on the terminal, and kept for the page."""

    def __init__(self):
        self.started = time.monotonic()
        self.steps, self.holds = [], True
        self._begun = None

    def begin(self, title, shows, command=""):
        """Say what comes, and what it shows."""
        seconds = time.monotonic() - self.started
        self._begun = (title, shows, command, seconds)
        print(f"\n[{seconds:4.1f} s] {len(self.steps) + 1}. {title}. {shows}", flush=True)
        if command:
            print(f"         {command}", flush=True)

    def end(self, outcome, said="", holds=True):
        """Say how it ended; ``holds`` tells whether that is true."""
        title, shows, command, seconds = self._begun
        self.steps.append(demo_page.Step(title, shows, command, outcome, said, seconds, holds))
        self.holds = self.holds and holds
        if said:
            print(said.rstrip())
        print(f"         {'=>' if holds else 'NOT TRUE:'} {outcome}", flush=True)


def main(argv=None):
    """Play the scene; return 0 if the proof holds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--page", type=pathlib.Path, default=CHECKOUT / "build" / "demo.html", help="where it goes")
    options = parser.parse_args(argv)
    print(picture.as_text())
    told = Told()
    page = play(told)
    options.page.parent.mkdir(parents=True, exist_ok=True)
    options.page.write_text(demo_page.render(page), encoding="utf-8")
    print("\nThe proof holds; nothing of it is left on this machine." if told.holds else "\nTHE PROOF DOES NOT HOLD.")
    print(f"A page with all of it, for a browser: {os.path.relpath(options.page)}")
    return 0 if told.holds else 1


def play(told):
    """Play all parts; return the page."""
    with contextlib.ExitStack() as stack:
        scene = demo_parts.opened(told, stack)
        before = demo_parts.unprotected(told, scene)
        demo_parts.enforced(told, scene)
        proof, differences = demo_parts.proven(told, scene)
        pictures = [demo_parts.at_the_desk(told, scene)]
        demo_parts.refused(told, scene)
        pictures += demo_parts.locked(told, scene)
        week = demo_parts.lent(told, scene)
        demo_parts.undone(told, scene)
    pictures += demo_host.play(told)
    return demo_page.Page(
        holds=told.holds,
        facts=facts(),
        drawing=picture.render(),
        steps=tuple(told.steps),
        declared=demo_parts.PILLAR.read_text(encoding="utf-8"),
        before=before,
        proof=proof,
        differences=differences,
        week=week,
        pictures=tuple(pictures),
    )


def facts():
    """Return what it was played with, in pairs."""
    sudo = subprocess.run(["sudo", "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]
    return (
        ("played", time.strftime("%Y-%m-%d %H:%M")),
        ("system", platform.freedesktop_os_release()["PRETTY_NAME"]),
        ("kernel", platform.release()),
        ("Salt", importlib.metadata.version("salt")),
        ("sudo", sudo.rpartition(" ")[2]),
    )


if __name__ == "__main__":
    sys.exit(main())
