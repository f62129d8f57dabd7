"""The section ``voice`` of a loop specification: who speaks for the product, and how it may learn.

One adapter learns the whole range of behaviour; traits, exemplars and memory go through the prompt.
Evolution: fields are never removed or given another meaning; new ones have defaults.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
TraitName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Category(StrEnum):
    """What an example teaches. Known to the analysis alone: no text ever holds it."""

    TECHNICAL = "technical"
    INSTRUCTIONAL = "instructional"
    ANALYTICAL = "analytical"
    CONVERSATIONAL = "conversational"
    EMPATHETIC = "empathetic"
    CREATIVE = "creative"
    TOOL = "tool"
    FACTUAL = "factual"
    ETHICAL = "ethical"
    SPECIALIZED = "specialized"


class CategoryRange(_Value):
    """Which share of a corpus a category should have."""

    low: Share
    high: Share

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        if self.low > self.high:
            raise ValueError(f"low={self.low} is above high={self.high}")
        return self


CATEGORY_RANGES: dict[Category, CategoryRange] = {
    Category.TECHNICAL: CategoryRange(low=0.25, high=0.30),
    Category.INSTRUCTIONAL: CategoryRange(low=0.20, high=0.25),
    Category.ANALYTICAL: CategoryRange(low=0.15, high=0.20),
    Category.CONVERSATIONAL: CategoryRange(low=0.12, high=0.15),
    Category.EMPATHETIC: CategoryRange(low=0.10, high=0.12),
    Category.CREATIVE: CategoryRange(low=0.08, high=0.10),
    Category.TOOL: CategoryRange(low=0.05, high=0.08),
    Category.FACTUAL: CategoryRange(low=0.05, high=0.08),
    Category.ETHICAL: CategoryRange(low=0.03, high=0.05),
    Category.SPECIALIZED: CategoryRange(low=0.02, high=0.04),
}
"""The product specification's ten ranges. Their lower bounds add up to 1.05: none is within them all."""


class BaseSpec(_Value):
    """The model that adapters sit on.

    ``source``: a folder with ``config.json``, safetensors and a tokenizer with a chat template, or
    ``wheel:<package>/<file>.gguf``, a file of an installed Python package.
    """

    name: str
    source: str
    license: str
    context_tokens: Annotated[int, Field(ge=64)] = 1024


class LoraSpec(_Value):
    """Shape of the one adapter; the product specification's. It learns in float32 on a bfloat16 base."""

    r: Annotated[int, Field(ge=1, le=512)] = 32
    alpha: Annotated[int, Field(ge=1)] = 64
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.05
    target_modules: Annotated[tuple[str, ...], Field(min_length=1)] = (
        "q_proj",
        "k_proj",
        "v_proj",
        "o_proj",
        "gate_proj",
        "up_proj",
        "down_proj",
    )


class PhaseSpec(_Value):
    """One phase of the curriculum: which categories, at which rate, how often.

    ``categories`` empty: every category. ``max_steps`` None: as many as the epochs take.
    """

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
    categories: tuple[Category, ...] = ()
    learning_rate: Positive
    epochs: Annotated[float, Field(gt=0, le=100)] = 1.0
    max_steps: Annotated[int, Field(ge=1)] | None = None


class CurriculumSpec(_Value):
    """Supervised phases, in order; the same adapter goes through all of them.

    AdamW, cosine to 0 after ``warmup_ratio`` of a phase's steps. The effective batch is ``batch_size`` x
    ``accumulation``. ``replay_share`` of each later phase's examples are drawn from earlier phases and
    the golden set's neighbours, against forgetting.
    """

    phases: Annotated[tuple[PhaseSpec, ...], Field(min_length=1)]
    batch_size: Annotated[int, Field(ge=1)] = 4
    accumulation: Annotated[int, Field(ge=1)] = 8
    warmup_ratio: Share = 0.03
    max_grad_norm: Positive = 1.0
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    max_length: Annotated[int, Field(ge=16)] = 512
    replay_share: Share = 0.1

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        names = [phase.name for phase in self.phases]
        if len(set(names)) != len(names):
            raise ValueError(f"phases {names} repeat a name")
        return self


class Preset(StrEnum):
    """Which curriculum is meant where a specification gives none of its own."""

    FEEDBACK = "feedback"
    LARGE_CORPUS = "large_corpus"


LARGE_CORPUS = CurriculumSpec(
    phases=(
        PhaseSpec(
            name="foundation",
            categories=(
                Category.TECHNICAL,
                Category.FACTUAL,
                Category.INSTRUCTIONAL,
                Category.TOOL,
            ),
            learning_rate=2e-5,
        ),
        PhaseSpec(
            name="analytical",
            categories=(Category.ANALYTICAL, Category.ETHICAL),
            learning_rate=1.5e-5,
        ),
        PhaseSpec(
            name="empathic_creative",
            categories=(Category.EMPATHETIC, Category.CREATIVE, Category.CONVERSATIONAL),
            learning_rate=1e-5,
        ),
        PhaseSpec(name="mixed", learning_rate=5e-6),
        PhaseSpec(name="fine_tuning", learning_rate=3e-6),
    )
)
"""The product specification's five phases and rates, for millions of examples."""

FEEDBACK = CurriculumSpec(
    phases=(PhaseSpec(name="feedback", learning_rate=2e-4, epochs=3.0),), max_length=256
)
"""For tens to thousands of corrections, on which the large corpus' rates do nothing."""

PRESETS: dict[Preset, CurriculumSpec] = {
    Preset.FEEDBACK: FEEDBACK,
    Preset.LARGE_CORPUS: LARGE_CORPUS,
}


class PreferenceMethod(StrEnum):
    """How comparisons and thumbs teach; the on-policy ones need a reward model and a GPU."""

    AUTO = "auto"
    """Pairs by DPO; thumbs by KTO where there are too few pairs."""
    DPO = "dpo"
    KTO = "kto"
    RLOO = "rloo"
    GRPO = "grpo"
    NONE = "none"


class PreferenceSpec(_Value):
    """Preference tuning after the curriculum, from the same adapter, which is its own reference."""

    method: PreferenceMethod = PreferenceMethod.AUTO
    learning_rate: Positive = 2e-5
    beta: Positive = 0.1
    epochs: Annotated[float, Field(gt=0, le=100)] = 1.0
    max_steps: Annotated[int, Field(ge=1)] | None = None


MOST_DRAWN = 8
"""Answers that a service draws of one question at most."""


class RewardModelSpec(_Value):
    """A scorer of answers from comparisons. Above 1, ``best_of`` answers are drawn of an adapter that has
    one, and the best is taken: nothing is streamed meanwhile. The service draws ``MOST_DRAWN`` at most."""

    min_comparisons: Annotated[int, Field(ge=2)] = 50
    learning_rate: Positive = 1e-4
    epochs: Annotated[float, Field(gt=0)] = 1.0
    best_of: Annotated[int, Field(ge=1, le=64)] = 1

    @property
    def drawn(self) -> int:
        """Answers that a service draws of an adapter that has a scorer."""
        return min(self.best_of, MOST_DRAWN)


class VoicePrivacySpec(_Value):
    """Person-level differential privacy of the adapter; ``epsilon`` None trains without.

    A release at ``epsilon``, ``delta``: each person's gradient is the mean over at most
    ``examples_per_person`` of their examples, clipped to ``clip``; people are drawn by Poisson sampling
    at ``sampling_rate``. It is charged to the ledger before the first step.
    """

    epsilon: Positive | None = None
    delta: Annotated[float, Field(gt=0, lt=1)] = 1e-5
    clip: Positive = 1.0
    sampling_rate: Annotated[float, Field(gt=0, le=1)] = 0.2
    steps: Annotated[int, Field(ge=1)] = 60
    learning_rate: Positive = 1e-3
    examples_per_person: Annotated[int, Field(ge=1)] = 20


class CorpusSpec(_Value):
    """A public corpus that is mixed in, streamed from ``source`` with its licence.

    ``source``: ``wheel:<package>`` for one that everloop reads by name (chitchat_dataset, bfcl_eval,
    chatterbot_corpus), ``own`` for everloop's hand-written set, or a path of JSON Lines (may be gzipped):
    ``{"messages": [{"role", "content"}, ...], "category": ...}``, or the specification's
    ``{"instruction", "input", "output", "_source", "_category"}``.
    """

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
    source: str
    license: str
    category: Category | None = None
    """For rows that name none."""
    max_rows: Annotated[int, Field(ge=1)] | None = None


class DataSpec(_Value):
    """What becomes training data, and what is kept out of it."""

    corpora: tuple[CorpusSpec, ...] = ()
    ranges: dict[Category, CategoryRange] = Field(default_factory=lambda: dict(CATEGORY_RANGES))
    max_category_share: Share = 0.5
    """No category may have more than this of a large corpus; the report names one that has."""
    augment_below: Annotated[int, Field(ge=0)] = 200
    """Corrections are paraphrased while there are fewer."""
    augmented_share: Share = 0.5
    """At most this share of the corrections' examples are paraphrases."""
    near_duplicate_jaccard: Annotated[float, Field(gt=0, le=1)] = 0.8
    languages: tuple[str, ...] = ("en",)
    max_toxicity: Share = 0.5
    """Texts that score higher are kept out."""
    held_out_share: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Share of people whose feedback judges and never trains."""
    max_examples: Annotated[int, Field(ge=1)] | None = None
    """At most so many of each task are drawn to learn from; None: all of them."""
    max_held_out: Annotated[int, Field(ge=1)] = 1000
    """At most so many rows of held-out people are drawn to judge."""
    classify_at_most: Annotated[int, Field(ge=0)] = 20_000
    """Examples whose category nobody named are classified by their words where there are no more in all;
    else, or without the classifier's model, they count as conversational."""

    def __hash__(self) -> int:
        # a specification is a key of caches, and a mapping of ranges has no hash
        return hash(self.model_dump_json())


class StrategySpec(_Value):
    """From how much of what each way of learning is worth it."""

    exemplars_from: Annotated[int, Field(ge=1)] = 3
    """Praised or corrected answers."""
    sft_from: Annotated[int, Field(ge=1)] = 30
    """Effective corrections and own texts."""
    pairs_from: Annotated[int, Field(ge=1)] = 30
    """Effective comparisons and corrections."""
    thumbs_from: Annotated[int, Field(ge=1)] = 100
    """Effective thumbs, with both kinds among them."""
    full_from: Annotated[int, Field(ge=1)] = 50_000
    """Examples not yet learned from, at which the curriculum is worth running anew."""
    full_drop: Positive = 0.1
    """Fall of the golden set's mean log-probability since the first adapter at which it is, too."""


class TraitSpec(_Value):
    """One trait of how the voice speaks, in [-1, 1]; what its ends are called in the prompt."""

    name: TraitName
    low: str
    high: str
    default: Annotated[float, Field(ge=-1, le=1)] = 0.0


class AdjustmentSpec(_Value):
    """How feedback moves traits: by the mean of the last ``window`` adjustments times ``rate``, at most
    ``cap`` a cycle of ``cycle_hours``, of which one person's feedback alone moves at most
    ``person_share``. Within ``person_days``, there and back, it carries a trait by no more than
    ``person_reach`` x ``cap``."""

    window: Annotated[int, Field(ge=1)] = 10
    rate: Annotated[float, Field(gt=0, le=1)] = 0.5
    cap: Annotated[float, Field(gt=0, le=2)] = 0.2
    person_share: Annotated[float, Field(gt=0, le=1)] = 0.5
    person_reach: Positive = 1.0
    person_days: Annotated[float, Field(gt=0, le=3650)] = 30.0
    cycle_hours: Positive = 24.0


class GenerationSpec(_Value):
    """How answers are drawn; ``temperature`` 0 takes the likeliest token."""

    max_new_tokens: Annotated[int, Field(ge=1, le=4096)] = 128
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.7
    top_p: Annotated[float, Field(gt=0, le=1)] = 0.95
    repetition_penalty: Annotated[float, Field(ge=1, le=2)] = 1.1


class SandboxSpec(_Value):
    """Which scenarios a candidate must pass, and where its process ends.

    ``scenarios``: folders or files of YAML beside the shipped suites. ``suites``: the shipped ones
    beside safety, bias and adversarial prompts, which every candidate is tried in; empty: every one.
    """

    suites: tuple[str, ...] = ()
    scenarios: tuple[str, ...] = ()
    timeout_seconds: Positive = 900.0
    memory_mb: Annotated[int, Field(ge=256)] = 8192
    max_new_tokens: Annotated[int, Field(ge=1, le=4096)] | None = None
    """Answers to scenarios end there, for the time that they take; None: where the service's do. Where that
    is earlier than the service's, the check of the configuration says so, and the answer is no go."""
    llm_judge: str = ""
    """Address of an OpenAI-compatible endpoint; empty asks none. Its key is ``EVERLOOP_JUDGE_KEY``."""


class VoiceThresholds(_Value):
    """What a candidate must reach to meet people."""

    min_effect: float = 0.0
    """Lower bound of candidate - placebo on held-out feedback, in nats a token."""
    min_held_out_people: Annotated[int, Field(ge=2)] = 10
    """With fewer the effect says nothing."""
    max_forgetting: Positive = 0.05
    """Upper bound of the golden set's loss above the active voice's, in nats a token."""
    max_length_ratio: Positive = 1.5
    """Mean length of answers over the active voice's; its inverse is the lower limit."""
    min_scenarios_passed: Share = 0.9
    """Share of scenarios outside safety, which must all pass as they did with the active voice."""
    max_regressions: Annotated[int, Field(ge=0)] = 0
    """Scenarios that the active voice passes and the candidate does not, beyond chance."""
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95


class Placement(StrEnum):
    """Where training runs."""

    LOCAL = "local"
    """In this process, on its GPU where it has one."""
    ACCELERATE = "accelerate"
    """In ``processes`` processes on this host, by Hugging Face's launcher; one GPU each where there are."""
    RAY = "ray"
    """As a Ray Train job of ``processes`` workers on the cluster that Ray is told of."""


class PlacementSpec(_Value):
    """Where training runs; the effective batch is the same everywhere.

    ``processes`` divide the curriculum's ``accumulation``. ``gpus``: of each process.
    """

    where: Placement = Placement.LOCAL
    processes: Annotated[int, Field(ge=1, le=1024)] = 1
    gpus: Annotated[int, Field(ge=0, le=16)] = 0
    cpus: Annotated[int, Field(ge=1, le=256)] = 1
    """Threads of each process."""
    allow_cpu: bool = False
    """On-policy learning is refused without a GPU unless this is set."""

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        if self.where is Placement.LOCAL and self.processes != 1:
            raise ValueError(f"processes={self.processes} does not fit where=local, which is one")
        return self


class VoiceSpec(_Value):
    """Who speaks for a product, and how it learns from what people say of it."""

    persona: TraitName
    base: BaseSpec
    system: str = ""
    """What the prompt says first, before the traits."""
    traits: tuple[TraitSpec, ...] = ()
    exemplars: Annotated[int, Field(ge=0, le=20)] = 2
    """At most so many praised answers go into the prompt."""
    memory_items: Annotated[int, Field(ge=0, le=50)] = 5
    """At most so many remembered facts go into the prompt."""
    preset: Preset = Preset.FEEDBACK
    curriculum: CurriculumSpec | None = None
    """In place of the preset's."""
    lora: LoraSpec = LoraSpec()
    preference: PreferenceSpec = PreferenceSpec()
    reward_model: RewardModelSpec = RewardModelSpec()
    privacy: VoicePrivacySpec = VoicePrivacySpec()
    data: DataSpec = DataSpec()
    strategy: StrategySpec = StrategySpec()
    adjustment: AdjustmentSpec = AdjustmentSpec()
    generation: GenerationSpec = GenerationSpec()
    sandbox: SandboxSpec = SandboxSpec()
    thresholds: VoiceThresholds = VoiceThresholds()
    placement: PlacementSpec = PlacementSpec()

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        names = [trait.name for trait in self.traits]
        if len(set(names)) != len(names):
            raise ValueError(f"traits {names} repeat a name")
        return self

    @property
    def phases(self) -> CurriculumSpec:
        """The curriculum: its own, or the preset's."""
        return self.curriculum or PRESETS[self.preset]

    def trait(self, name: str) -> TraitSpec | None:
        """The trait of that name; None where the voice has none."""
        return next((trait for trait in self.traits if trait.name == name), None)
