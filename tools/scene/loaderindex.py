"""Salt's loaders with a remembered listing of Salt's own directories, which do not change in a test.

Each loader lists all its directories whenever it is made, which happens dozens of times in a run of a state, and takes
most of that run's time. Other directories are listed as ever.
"""

import contextlib
import functools
import os

import salt.config
from salt.loader.lazy import LazyLoader

OWN = os.path.dirname(os.path.realpath(salt.__file__))


def remember():
    """Let all loaders of this process and of its forks remember Salt's own directories, which are read now."""
    known = {}
    LazyLoader._refresh_file_mapping = functools.partialmethod(_refresh, LazyLoader._refresh_file_mapping, known)
    options = salt.config.DEFAULT_MINION_OPTS.copy()
    with contextlib.suppress(OSError):
        for entry in sorted(os.scandir(OWN), key=lambda entry: entry.name):
            if entry.is_dir():
                LazyLoader([entry.path], options, tag=entry.name)


def _refresh(loader, original, known):
    """Set ``file_mapping`` as the original does, from the listing of each directory by itself."""
    directories, static = loader.module_dirs, loader.static_modules
    mapping = {}
    loader.static_modules = []
    try:
        for directory in directories:
            for name, found in _files(loader, original, known, directory).items():
                if name not in mapping or _goes_before(loader, found, mapping[name]):
                    mapping[name] = found
        loader.module_dirs, loader.static_modules = [], static
        original(loader)
    finally:
        loader.module_dirs, loader.static_modules = directories, static
    loader.file_mapping = {**mapping, **loader.file_mapping}


def _files(loader, original, known, directory):
    key = (directory, *sorted(loader.disabled))
    if key not in known:
        loader.module_dirs = [directory]
        original(loader)
        if not os.path.realpath(directory).startswith(OWN + os.sep):
            return loader.file_mapping
        known[key] = loader.file_mapping
    return known[key]


def _goes_before(loader, found, held):
    """Tell whether a file replaces one of an earlier directory: by its suffix, as Salt ranks them."""
    return bool(held[1]) and loader.suffix_order.index(found[1]) < loader.suffix_order.index(held[1])
