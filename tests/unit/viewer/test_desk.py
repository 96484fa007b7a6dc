"""What is installed around the launcher: desktop entry, man page, completion and languages."""

import configparser
import gettext
import io
import re
import subprocess

import pytest

from scene.requirements import need
from spicegrants.core import languages
from spicegrants.core.entries import File
from spicegrants.core.paths import DESKTOP_ENTRY, LAUNCHER, catalogue_file
from spicegrants.viewer import desk, launcher, manual


def test_all_files_are_readable_and_their_paths_known():
    entries = desk.entries()
    assert tuple(entries) == desk.PATHS
    assert {(entry.mode, entry.uid, entry.gid, type(entry)) for entry in entries.values()} == {(0o644, 0, 0, File)}


def test_the_desktop_entry_has_all_languages():
    parser = configparser.ConfigParser(interpolation=None, delimiters=("=",))
    parser.optionxform = str
    parser.read_string(desk.entries()[DESKTOP_ENTRY].content.decode())
    entry = parser["Desktop Entry"]
    assert (entry["Name"], entry["Name[de]"]) == ("SPICE consoles", "SPICE-Konsolen")
    assert entry["Exec"] == LAUNCHER
    for language in ("", *(f"[{name}]" for name in languages.TRANSLATED)):
        assert entry[f"Comment{language}"] and entry[f"Keywords{language}"].endswith(";")


@pytest.mark.parametrize("language", languages.TRANSLATED)
def test_gettext_reads_the_catalogue(language):
    texts = languages.texts(language)
    found = gettext.GNUTranslations(io.BytesIO(desk.catalogue(texts)))
    assert {text: found.gettext(text) for text in texts} == dict(texts)
    assert found.gettext("what nobody says") == "what nobody says"


def test_the_launcher_looks_where_the_catalogues_are():
    for language in languages.TRANSLATED:
        place = f"{launcher.LOCALES}/{language}/LC_MESSAGES/{launcher.CATALOGUE}.mo"
        assert catalogue_file(language) == place


def test_the_man_page_has_all_exit_codes_and_options():
    codes = set(re.findall(r"(?<=[:;] )[0-9](?= )", launcher.__doc__.replace("\n", " ")))
    assert codes == set("012345") == set(re.findall(r"^\.B ([0-9])$", manual.MANUAL, re.MULTILINE))
    assert all(option in manual.MANUAL.replace("\\-", "-") for option in ("--list", "--help", "-h"))


def test_the_man_page_has_no_mistake():
    need("groff")
    command = ["groff", "-man", "-Tutf8", "-ww", "-z"]
    done = subprocess.run(command, input=manual.MANUAL, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
