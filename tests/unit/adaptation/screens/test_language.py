"""Languages by the bundled model, and what is too short or is no language."""

from __future__ import annotations

import pytest

from everloop.adaptation.screens.language import BundledLanguageTeller


@pytest.fixture(scope="module")
def teller() -> BundledLanguageTeller:
    return BundledLanguageTeller()


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("I am very tired today and would like to go home early.", "en"),
        ("Ich bin heute sehr müde und gehe jetzt nach Hause.", "de"),
        ("Gracias por todo, eres muy amable conmigo y con mi familia.", "es"),
        ("今日はとても疲れたので、もう家に帰りたいと思います。ありがとうございました。", "ja"),
        ("TODAY I WAS SHOUTING ALL DAY LONG AT NOBODY IN PARTICULAR", "en"),
    ],
)
def test_languages(teller: BundledLanguageTeller, text: str, language: str) -> None:
    (guess,) = teller.languages([text])
    assert guess.language == language
    assert guess.probability > 0.6


@pytest.mark.parametrize(
    "text", ["", "ok, merci!", "12345 67890 " * 20, "```\ndef f(x):\n    return x\n```", "{}"]
)
def test_too_little_to_tell(teller: BundledLanguageTeller, text: str) -> None:
    (guess,) = teller.languages([text])
    assert (guess.language, guess.probability) == ("", 0.0)


def test_code_in_a_text_does_not_count(teller: BundledLanguageTeller) -> None:
    text = "Put the list in order first, then take its last item:\n```\nzahlen.sort(key=wert)\n```"
    assert teller.languages([text])[0].language == "en"
