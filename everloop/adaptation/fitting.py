"""Which examples a training and a measurement can read whole."""

from __future__ import annotations

from everloop.adaptation.building import Fits
from everloop.adaptation.training.models import load_tokenizer
from everloop.adaptation.training.rendering import Renderer
from everloop.contracts.speaking import BaseFolder
from everloop.contracts.voice_spec import VoiceSpec
from everloop.contracts.voices import TrainingDataInstance


def fits_in(base: BaseFolder, spec: VoiceSpec) -> Fits:
    """Whether training renders an example: a prompt is shortened, an answer is not.

    All that an example wants said or rejected, its end of turn included, has to leave room for a prompt in
    ``max_length`` of the curriculum's tokens and in the base's context.
    """
    renderer = Renderer(load_tokenizer(base), min(spec.phases.max_length, base.context_tokens))

    def fits(instance: TrainingDataInstance) -> bool:
        said = (instance.completion, instance.rejected)
        return all(
            renderer.tokens(instance.prompt, text) is not None for text in said if text is not None
        )

    return fits
