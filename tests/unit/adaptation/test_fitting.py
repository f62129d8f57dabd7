"""What a training leaves out is known before it."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.adaptation.fitting import fits_in
from everloop.adaptation.training.models import load_tokenizer
from everloop.adaptation.training.rendering import Renderer
from everloop.contracts.speaking import BaseFolder
from everloop.contracts.voice_spec import BaseSpec, CurriculumSpec, PhaseSpec, VoiceSpec
from everloop.contracts.voices import LearningTask, Message
from everloop.speaking.conversation import Renderer as Serving
from everloop.speaking.engine import Engine
from tests.voice_records import corpus_row


def spec(max_length: int) -> VoiceSpec:
    phases = (PhaseSpec(name="one", learning_rate=1e-3),)
    return VoiceSpec(
        persona="friend",
        base=BaseSpec(name="tiny", source="tiny", license="Apache-2.0"),
        curriculum=CurriculumSpec(phases=phases, max_length=max_length),
    )


def test_an_answer_fits_where_training_renders_it(tiny_voice: BaseFolder) -> None:
    renderer = Renderer(load_tokenizer(tiny_voice), 64)
    fits, answered = fits_in(tiny_voice, spec(64)), set()
    for words in range(1, 120, 3):
        row = corpus_row(words, completion="slowly " * words)
        assert fits(row) is (renderer.row(row) is not None)
        answered.add(fits(row))
    assert answered == {True, False}


def test_a_long_prompt_is_shortened_and_a_long_rejected_answer_is_not(
    tiny_voice: BaseFolder,
) -> None:
    fits = fits_in(tiny_voice, spec(64))
    assert fits(corpus_row(1, prompt=(Message("user", "slowly " * 400),), completion="Yes."))
    pair = {"task": LearningTask.PREFERENCE, "completion": "Yes."}
    assert fits(corpus_row(2, rejected="No.", **pair))
    assert not fits(corpus_row(3, rejected="slowly " * 400, **pair))


def test_what_fits_into_the_context_alone_can_be_scored(tiny_voice: BaseFolder) -> None:
    """A curriculum may ask for more than the base reads: 512 tokens."""
    fits, engine = fits_in(tiny_voice, spec(4096)), Engine(tiny_voice)
    rows = [corpus_row(n, completion="slowly " * n) for n in (1, 100, 2000)]
    assert [fits(row) for row in rows] == [True, True, False]
    kept = rows[:2]
    assert len(engine.score([r.prompt for r in kept], [r.completion for r in kept], "")) == 2


@settings(max_examples=60, deadline=None)
@given(
    system=st.integers(0, 80),
    asked=st.integers(1, 400),
    said=st.integers(1, 90),
    length=st.integers(24, 600),
)
def test_what_fits_is_learned_from_and_scored_after_the_same_prompt(
    tiny_voice: BaseFolder, system: int, asked: int, said: int, length: int
) -> None:
    tokenizer = load_tokenizer(tiny_voice)
    turn = (Message("system", "kind " * system),) if system else ()
    row = corpus_row(
        1, prompt=(*turn, Message("user", "slowly " * asked)), completion="walk " * said
    )
    room = min(length, tiny_voice.context_tokens)
    rendered = Renderer(tokenizer, room).row(row)
    assert fits_in(tiny_voice, spec(length))(row) is (rendered is not None)
    if rendered is not None:
        serving = Serving(tokenizer, room)
        completion = serving.completion(row.completion)
        assert rendered.completion == completion
        read = serving.prompt(row.prompt, len(completion))
        assert rendered.input_ids == [*read, *completion]
        # Where there is more room, as where answers are scored, it fits too.
        assert Serving(tokenizer, tiny_voice.context_tokens).prompt(row.prompt, len(completion))
