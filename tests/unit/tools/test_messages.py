"""What users read can be read in each language: texts, catalogues of po/ and the code that is made of them."""

import ast
import string

import messages
import pytest

from spicegrants.core import catalogues, languages

FILES = sorted(messages.PO.glob("*.po"))


@pytest.fixture(scope="module")
def texts():
    """What the library says."""
    return messages.collected()


def fields(text):
    """The names of the values that a text has places for."""
    return {name for _, name, _, _ in string.Formatter().parse(text) if name is not None}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_text_is_translated_and_no_other(texts, path):
    translations = messages.read(path.read_text(encoding="utf-8"))
    assert [text for text in texts if not translations.get(text)] == []
    assert set(translations) - {""} == set(texts)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_file_is_as_the_tool_writes_it(texts, path):
    text = path.read_text(encoding="utf-8")
    assert messages.written(texts, messages.read(text)) == text


def test_the_code_has_what_the_files_say():
    assert {
        path.stem: {text: other for text, other in messages.read(path.read_text(encoding="utf-8")).items() if text}
        for path in FILES
    } == catalogues.CATALOGUES
    assert messages.CATALOGUES.read_text(encoding="utf-8") == messages.module(catalogues.CATALOGUES)
    assert tuple(catalogues.CATALOGUES) == languages.TRANSLATED


@pytest.mark.parametrize("language", languages.TRANSLATED)
def test_a_translation_has_places_for_the_same_values(language, texts):
    for text in texts:
        other = languages.texts(language)[text]
        assert fields(other) == fields(text)
        assert other.isprintable() or text.count("\n") > 2
        assert len(fields(text)) > 0 or other.format() == other


@pytest.mark.parametrize("language", languages.TRANSLATED)
def test_the_week_has_seven_days(language):
    assert len(languages.say(language, "Mon Tue Wed Thu Fri Sat Sun").split()) == 7


def test_each_program_for_users_has_texts(texts):
    found = {name for files in texts.values() for name in files}
    assert {"viewer/launcher.py", "viewer/admission.py", "viewer/live/opener.py", "expiry/messages.py"} <= found


@pytest.mark.parametrize("code", ["say(text)", "say(language, f'{name} is open')", "say(language, 'a' + 'b')", "say()"])
def test_a_text_that_cannot_be_collected(tmp_path, code):
    """Nobody would ever translate it."""
    (tmp_path / "module.py").write_text(code, encoding="utf-8")
    with pytest.raises(SystemExit, match="word for word"):
        messages.collected(tmp_path)


def test_texts_with_all_kinds_of_characters():
    """There and back, in the file and in the code."""
    translations = {"": "Language: de\n", 'a "b" \\ c': "ä\n\nö \\n", "x" * 300: "y " * 200, "z": "'"}
    texts = {text: ["module.py"] for text in translations if text}
    assert messages.read(messages.written(texts, translations)) == translations
    code = messages.module({"de": {text: translations[text] for text in texts}})
    assert ast.literal_eval(code[code.index("= {") + 2 :]) == {"de": {text: translations[text] for text in texts}}


def test_what_nobody_says_is_dropped_and_what_is_new_is_empty():
    written = messages.written({"new": ["module.py"]}, {"": "", "old": "alt"})
    assert messages.read(written) == {"": "", "new": ""}
