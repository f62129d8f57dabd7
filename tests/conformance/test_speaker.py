"""What every ``Speaker`` must do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace

import pytest

from everloop.contracts.errors import ShouldFixArgument, ShouldNameKnownId
from everloop.contracts.speaking import BaseFolder, Speaker, SpeakRequest
from everloop.contracts.voice_spec import GenerationSpec
from everloop.contracts.voices import Message
from everloop.speaking.engine import Engine
from tests.fake_speaker import FakeSpeaker
from tests.made_adapters import drawn_adapter

SHORT = GenerationSpec(max_new_tokens=12, temperature=0.9)
SYSTEM = Message("system", "You answer plainly.")


def asked(text: str, adapter: str = "", seed: int = 0, **drawn: float | int) -> SpeakRequest:
    generation = SHORT.model_copy(update=drawn)
    return SpeakRequest((SYSTEM, Message("user", text)), adapter, seed, generation)


class SpeakerSuite(ABC):
    """Two adapters are loaded, ``warm`` and ``cool``."""

    @pytest.fixture
    @abstractmethod
    def speaker(self) -> Speaker:
        """A speaker with the two adapters."""

    def test_answers_come_in_the_order_asked(self, speaker: Speaker) -> None:
        requests = [
            asked(text, adapter, seed)
            for seed, text in enumerate(
                ("Hello.", "I had a long day at work and I am tired.", "Why?")
            )
            for adapter in ("warm", "", "cool")
        ]
        answers = speaker.answer(requests)
        assert [answer.adapter for answer in answers] == [one.adapter for one in requests]
        alone = [speaker.answer([one])[0] for one in requests]
        assert [answer.text for answer in answers] == [answer.text for answer in alone]
        assert [answer.tokens for answer in answers] == [answer.tokens for answer in alone]
        assert len({answer.text for answer in answers}) > 3

    def test_pieces_join_to_the_answer(self, speaker: Speaker) -> None:
        for seed in range(4):
            request = asked("What is the capital of France?", "warm", seed)
            pieces = list(speaker.stream(request))
            assert all(pieces)
            assert "".join(pieces) == speaker.answer([request])[0].text

    def test_the_same_seed_says_the_same(self, speaker: Speaker) -> None:
        first = speaker.answer([asked("Hello.", seed=3)])[0].text
        assert speaker.answer([asked("Hello.", seed=3)])[0].text == first
        others = {speaker.answer([asked("Hello.", seed=seed)])[0].text for seed in range(4, 10)}
        assert others - {first}

    def test_without_temperature_the_seed_says_nothing(self, speaker: Speaker) -> None:
        answers = speaker.answer([asked("Hello.", seed=seed, temperature=0) for seed in range(3)])
        assert len({answer.text for answer in answers}) == 1

    def test_an_answer_is_no_longer_than_it_may_be(self, speaker: Speaker) -> None:
        answers = speaker.answer(
            [asked("Hello.", seed=seed, max_new_tokens=2) for seed in range(8)]
        )
        assert all(1 <= answer.tokens <= 2 for answer in answers)
        assert all(answer.ended for answer in answers if answer.tokens < 2)
        assert not all(answer.ended for answer in answers)

    def test_an_unknown_adapter_is_refused(self, speaker: Speaker) -> None:
        for ask in (
            lambda: speaker.answer([asked("Hello."), asked("Hello.", "unheard-of")]),
            lambda: speaker.stream(asked("Hello.", "unheard-of")),
            lambda: speaker.score([(Message("user", "Hello."),)], ["Hi."], "unheard-of"),
        ):
            with pytest.raises(ShouldNameKnownId, match="unheard-of"):
                ask()

    def test_nothing_is_asked_and_nothing_said(self, speaker: Speaker) -> None:
        assert speaker.answer([]) == ()
        assert speaker.score([], []) == ()

    def test_scores_come_in_the_order_asked(self, speaker: Speaker) -> None:
        prompts = [
            (SYSTEM, Message("user", "Hello.")),
            (Message("user", "I had a long day at work. " * 3),),
        ] * 2
        completions = ["Hi.", "That sounds hard, tell me more.", "No.", "Walk slowly."]
        together = speaker.score(prompts, completions, "cool")
        for prompt, completion, score in zip(prompts, completions, together, strict=True):
            alone = speaker.score([prompt], [completion], "cool")[0]
            assert alone.tokens == score.tokens
            assert alone.log_probability == pytest.approx(score.log_probability, abs=1e-4)
            assert score.log_probability < 0
            assert score.per_token == score.log_probability / score.tokens

    def test_adapters_score_differently(self, speaker: Speaker) -> None:
        prompt, said = [(SYSTEM, Message("user", "Hello."))], ["Hi, how are you?"]
        scores = {speaker.score(prompt, said, one)[0].per_token for one in ("", "warm", "cool")}
        assert len(scores) == 3

    def test_prompts_and_completions_go_in_pairs(self, speaker: Speaker) -> None:
        with pytest.raises(ValueError, match="zip"):
            speaker.score([(SYSTEM,)], [])

    def test_an_assistant_has_nothing_to_answer_to_itself(self) -> None:
        with pytest.raises(ShouldFixArgument, match="nothing to answer"):
            SpeakRequest((Message("user", "Hello."), Message("assistant", "Hi.")))


class TestFakeSpeaker(SpeakerSuite):
    @pytest.fixture
    def speaker(self) -> Speaker:
        return FakeSpeaker(("warm", "cool"))


@pytest.fixture(scope="module")
def engine(tiny_voice: BaseFolder, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """The tiny base with two drawn adapters."""
    folder = tmp_path_factory.mktemp("adapters")
    engine = Engine(tiny_voice, device="cpu")
    for seed, version in enumerate(("warm", "cool")):
        adapter = drawn_adapter(folder / version, tiny_voice, seed)
        engine.load(replace(adapter, version=version))
    return engine


class TestEngine(SpeakerSuite):
    @pytest.fixture
    def speaker(self, engine: Engine) -> Speaker:
        return engine
