"""Which language somebody wants, and texts in it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spicegrants.core import languages
from spicegrants.core.languages import say
from spicegrants.viewer import launcher

NAMES = ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG")
WORDS = ("", "C", "POSIX", "C.UTF-8", "en", "en_GB.UTF-8", "de", "de_AT.UTF-8@euro", "fr_FR", "deu", "../de", "\x1b[2J")


@pytest.mark.parametrize(
    ("environment", "language"),
    [
        ({}, "en"),
        ({"LANG": "de_DE.UTF-8"}, "de"),
        ({"LANG": "de"}, "de"),
        ({"LANG": "de_AT@euro"}, "de"),
        ({"LANG": "fr_FR.UTF-8"}, "en"),
        ({"LANG": "C"}, "en"),
        ({"LANG": "POSIX"}, "en"),
        ({"LANG": "C.UTF-8"}, "en"),
        ({"LANG": "de_DE.UTF-8", "LC_MESSAGES": "en_GB.UTF-8"}, "en"),
        ({"LANG": "en_GB.UTF-8", "LC_MESSAGES": "de_DE.UTF-8"}, "de"),
        ({"LC_MESSAGES": "de_DE.UTF-8", "LC_ALL": "en_GB.UTF-8"}, "en"),
        ({"LC_MESSAGES": "en_GB.UTF-8", "LC_ALL": "de_DE.UTF-8"}, "de"),
        ({"LANG": "en_GB.UTF-8", "LC_ALL": "", "LC_MESSAGES": "de"}, "de"),
        ({"LANG": "en_GB.UTF-8", "LANGUAGE": "fr:de:en"}, "de"),
        ({"LANG": "de_DE.UTF-8", "LANGUAGE": "en:de"}, "en"),
        ({"LANG": "de_DE.UTF-8", "LANGUAGE": ""}, "de"),
        ({"LANG": "fr_FR.UTF-8", "LANGUAGE": ":de"}, "de"),
        ({"LANG": "de_DE.UTF-8", "LANGUAGE": "C:de"}, "en"),
        ({"LC_ALL": "C", "LANGUAGE": "de"}, "en"),
        ({"LANGUAGE": "de"}, "en"),
        ({"LANG": "../../de"}, "en"),
        ({"LANG": "\udcff"}, "en"),
    ],
)
def test_the_language_of_an_environment(environment, language):
    assert languages.chosen(environment) == language


@given(st.dictionaries(st.sampled_from(NAMES), st.lists(st.sampled_from(WORDS), max_size=3).map(":".join)))
def test_the_launcher_chooses_the_same(environment):
    """It is a program by itself; of what it prefers to English, gettext takes the first that there is."""
    with pytest.MonkeyPatch.context() as patch:
        for name in NAMES:
            patch.delenv(name, raising=False)
        for name, value in environment.items():
            patch.setenv(name, value)
        wanted = [word.replace(".", "_").partition("_")[0] for word in launcher.languages()]
    assert languages.chosen(environment) == next((name for name in wanted if name in languages.TRANSLATED), "en")


def test_a_text_in_each_language():
    assert say("en", "user {name}", name="anne") == "user anne"
    assert say("de", "user {name}", name="anne") == "Benutzer anne"


def test_values_are_not_read_a_second_time():
    assert say("de", "user {name}", name="{0} %s {name.__class__}") == "Benutzer {0} %s {name.__class__}"
