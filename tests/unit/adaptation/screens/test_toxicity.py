"""Abuse scored by the known model alone; anything else is never unpickled."""

from __future__ import annotations

import io
import pickle
from pathlib import Path

import joblib
import pytest

from everloop.adaptation import installed
from everloop.adaptation.screens import toxicity
from everloop.adaptation.screens.toxicity import ProfanityScorer
from everloop.contracts.errors import ShouldRestoreArtefact


@pytest.fixture(scope="module")
def scorer() -> ProfanityScorer:
    return ProfanityScorer()


def test_abuse_scores_above_kindness(scorer: ProfanityScorer) -> None:
    bad, good, none = scorer.toxicity(
        ["You are a stupid idiot and I hate you.", "What a lovely garden you have.", " "]
    )
    assert bad > 0.9
    assert good < 0.1
    assert none == 0.0


def test_length_does_not_dilute(scorer: ProfanityScorer) -> None:
    kind = "We walked along the river and talked about the spring. " * 30
    assert scorer.toxicity([kind])[0] < 0.5
    assert scorer.toxicity([kind + "You are a stupid idiot. " + kind])[0] > 0.9


def test_nothing_to_score(scorer: ProfanityScorer) -> None:
    assert scorer.toxicity([]) == ()


class _Trap:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (pytest.fail, ("it was unpickled",))


class _Recorded:
    """A file of an installed distribution, as importlib.metadata shows it."""

    def __init__(self, name: str, place: Path, value: str) -> None:
        self.name, self.place = name, place
        self.hash = type("Hash", (), {"value": value})()

    def __str__(self) -> str:
        return self.name

    def locate(self) -> Path:
        return self.place


def test_another_file_is_refused_before_it_is_unpickled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trap = io.BytesIO()
    pickle.dump(_Trap(), trap)
    place = tmp_path / "model.joblib"
    place.write_bytes(trap.getvalue())
    rows = [_Recorded(name, place, sha256) for name, sha256 in toxicity.FILES.items()]
    monkeypatch.setattr(
        installed, "distribution", lambda _: type("Distribution", (), {"files": rows})()
    )
    with pytest.raises(ShouldRestoreArtefact, match="SHA-256"):
        ProfanityScorer()


def test_a_record_that_was_rewritten_to_fit_is_refused_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import base64
    import hashlib

    place = tmp_path / "model.joblib"
    joblib.dump({"not": "it"}, place)
    own = base64.urlsafe_b64encode(hashlib.sha256(place.read_bytes()).digest()).rstrip(b"=")
    rows = [_Recorded(name, place, own.decode()) for name in toxicity.FILES]
    monkeypatch.setattr(
        installed, "distribution", lambda _: type("Distribution", (), {"files": rows})()
    )
    with pytest.raises(ShouldRestoreArtefact, match="known to be harmless"):
        ProfanityScorer()


def test_a_missing_package_is_named() -> None:
    with pytest.raises(ShouldRestoreArtefact, match="no_such_thing"):
        installed.package_folder("no_such_thing")
    with pytest.raises(ShouldRestoreArtefact, match="no-such-thing"):
        installed.verified_bytes("no-such-thing", "a", "b")
    with pytest.raises(ShouldRestoreArtefact, match=r"absent\.joblib"):
        installed.verified_bytes(toxicity.REQUIREMENT, "absent.joblib", "b")


def test_scores_are_those_of_the_whole_classifier() -> None:
    texts = ["you are an idiot", "hello my friend", "That's crazy", "what a lovely day", "damn it"]
    model, vectorizer = (toxicity._load(file, sha256) for file, sha256 in toxicity.FILES.items())
    whole = model.predict_proba(vectorizer.transform(texts))[:, 1]
    assert ProfanityScorer().toxicity(texts) == pytest.approx(whole.tolist(), abs=1e-12)
