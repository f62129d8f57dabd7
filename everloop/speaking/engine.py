"""The engine: one base in memory, versioned adapters on it, answers of several of them in one batch."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from weakref import WeakValueDictionary

import torch

from everloop.contracts.errors import (
    EverloopError,
    ShouldFixArgument,
    ShouldNameKnownId,
    ShouldResolveConflict,
    ShouldRestoreArtefact,
    ShouldRetryLater,
)
from everloop.contracts.model_folders import require_unchanged
from everloop.contracts.speaking import (
    AdapterFolder,
    Answer,
    BaseFolder,
    SpeakRequest,
    TextScore,
)
from everloop.contracts.voices import Message
from everloop.speaking.adapters import read_adapter
from everloop.speaking.conversation import Renderer
from everloop.speaking.decoding import Asked, decode
from everloop.speaking.lora import Modules, Routing, route
from everloop.speaking.pickles import require_no_pickle
from everloop.speaking.pieces import Pieces
from everloop.speaking.plain_model import quiet
from everloop.speaking.sampling import Sampler
from everloop.speaking.scoring import Scored, score_rows
from everloop.speaking.tokenizers import special_tokens

Precision = Literal["auto", "float32", "bfloat16"]
_TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True, slots=True)
class _Loaded:
    sha256: str
    modules: Modules


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class _Lease:
    loaded: _Loaded


@dataclass(frozen=True, slots=True)
class Spoken:
    """What an answer gained: a piece of text, or, at its end, the whole ``answer``, or the ``problem`` that
    ended it alone.

    ``position``: of the request among those that were asked together.
    """

    position: int
    piece: str
    answer: Answer | None = None
    problem: EverloopError | None = None


class Engine:
    """Implements ``Speaker`` for one base. Every method may be called from several threads.

    An answer keeps the adapter that it began with: loading and unloading never change one under way.
    What is drawn for an answer depends on its own seed alone; in ``float32`` its neighbours in a batch move
    its logits in their last bits, in ``bfloat16`` in the third digit, which near ties can show.

    Args:
        base: prepared; every file of it is verified.
        device: ``auto`` is a GPU where there is one.
        threads: of the CPU, for the whole process; None leaves them as they are.
        batch_size: answers of one batch at most; more are made in several.
        precision: ``auto`` is float32 on the CPU and bfloat16 on a GPU.

    Raises:
        ShouldRestoreArtefact: the base is damaged.
        ShouldFixArgument: it holds a pickle, or an argument is out of range.
    """

    def __init__(
        self,
        base: BaseFolder,
        device: str = "auto",
        threads: int | None = None,
        batch_size: int = 16,
        precision: Precision = "auto",
    ) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: PLC0415

        if batch_size < 1 or (threads is not None and threads < 1):
            raise ShouldFixArgument(
                f"batch_size={batch_size}, threads={threads}.", "Give 1 or more."
            )
        require_no_pickle(base.path)
        require_unchanged(base)
        if threads is not None:
            torch.set_num_threads(threads)
        self._base = base
        self.device = _device(device)
        if precision == "auto":
            precision = "bfloat16" if self.device.type == "cuda" else "float32"
        self._batch_size = batch_size
        with quiet():
            self._tokenizer = AutoTokenizer.from_pretrained(base.path, local_files_only=True)
            model: Any = AutoModelForCausalLM.from_pretrained(
                base.path,
                dtype=_TYPES[precision],
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=False,
            )
        self._model = model.requires_grad_(False).eval().to(self.device)
        self._routing = Routing()
        self._modules = route(self._model, self._routing)
        self._stops = frozenset(index for _, index in special_tokens(self._tokenizer)) | {
            int(self._tokenizer.eos_token_id)
        }
        self._renderer = Renderer(self._tokenizer, base.context_tokens)
        self._lock = threading.Lock()
        self._loaded: dict[str, _Loaded] = {}
        self._leases: WeakValueDictionary[str, _Lease] = WeakValueDictionary()

    @property
    def base(self) -> BaseFolder:
        """What it speaks with."""
        return self._base

    @property
    def versions(self) -> frozenset[str]:
        """Adapters that can be asked for, without the base alone."""
        with self._lock:
            return frozenset(self._loaded)

    def load(self, adapter: AdapterFolder) -> None:
        """Verify an adapter and let it be asked for by its version; the same one again changes nothing.

        Raises:
            ShouldRestoreArtefact: it is damaged or does not fit the base.
            ShouldResolveConflict: another adapter is loaded under its version.
        """
        weights = read_adapter(adapter, self._base)
        if not adapter.version or (lost := sorted(set(weights.modules) - self._modules)):
            raise ShouldFixArgument(
                f"Adapter {adapter.version!r} cannot be spoken with: it has no version, or changes "
                f"{lost if adapter.version else 'nothing'}, which are no linear layers.",
                "Train the adapter on linear layers, and give it a version.",
            )
        modules = {
            name: (down.to(self.device), (up * weights.scale).to(self.device))
            for name, (down, up) in weights.modules.items()
        }
        if not all(bool(torch.isfinite(up).all()) for _, up in modules.values()):
            raise ShouldRestoreArtefact(
                f"Adapter {adapter.version} is not finite once it is scaled by {weights.scale}.",
                "Train it again; what serves stays as it is.",
            )
        with self._lock:
            known = self._loaded.get(adapter.version)
            if known is not None and known.sha256 != adapter.sha256:
                raise ShouldResolveConflict(
                    f"Version {adapter.version} is loaded with SHA-256 {known.sha256}, not "
                    f"{adapter.sha256}.",
                    "Give another version.",
                )
            if known is None:
                self._loaded[adapter.version] = _Loaded(adapter.sha256, modules)

    def lease(self, version: str) -> object:
        """What keeps an adapter answerable while somebody holds it, whatever is unloaded meanwhile.

        Raises:
            ShouldNameKnownId: it is not loaded.
        """
        loaded = self._adapter(version)
        if loaded is None:
            return None
        with self._lock:
            lease = self._leases.get(version)
            if lease is None or lease.loaded is not loaded:
                lease = self._leases[version] = _Lease(loaded)
            return lease

    def unload(self, version: str) -> None:
        """Forget an adapter once nobody holds a lease on it; answers that began with it go on. One that is
        not loaded is no error."""
        with self._lock:
            self._loaded.pop(version, None)

    def answer(self, requests: Sequence[SpeakRequest]) -> tuple[Answer, ...]:
        """See ``Speaker``; more than ``batch_size`` are made in batches of similar length.

        Raises:
            ShouldRetryLater: the logits of an answer are not finite.
        """
        answers = {
            spoken.position: spoken.answer
            for spoken in map(_whole, self.follow(requests))
            if spoken.answer
        }
        return tuple(answers[position] for position in range(len(requests)))

    def stream(self, request: SpeakRequest) -> Iterator[str]:
        """See ``Speaker``. An unknown adapter is refused before the first piece is asked for."""
        spoken = self.follow([request])
        return (one.piece for one in map(_whole, spoken) if one.piece)

    def follow(
        self, requests: Sequence[SpeakRequest], abandoned: Callable[[int], bool] = lambda _: False
    ) -> Iterator[Spoken]:
        """All that ``answer`` makes, as it is made.

        Args:
            abandoned: whether nobody waits for a request's answer any more; it ends where it is.

        Raises:
            ShouldNameKnownId: an adapter is not loaded.
            ShouldFixArgument: a system turn leaves no room for what was said.
        """
        asked = [self._asked(position, request) for position, request in enumerate(requests)]
        return self._follow(asked, requests, abandoned)

    def score(
        self, prompts: Sequence[tuple[Message, ...]], completions: Sequence[str], adapter: str = ""
    ) -> tuple[TextScore, ...]:
        """See ``Speaker``.

        Raises:
            ShouldNameKnownId: the adapter is not loaded.
            ShouldFixArgument: a completion is longer than the context.
        """
        loaded = self._adapter(adapter)
        rows = [
            self._scored(position, prompt, completion)
            for position, (prompt, completion) in enumerate(zip(prompts, completions, strict=True))
        ]
        found = score_rows(
            self._model, self._routing, rows, loaded, self._padding, self._batch_size
        )
        return tuple(found[position] for position in range(len(rows)))

    @property
    def _padding(self) -> int:
        return int(self._tokenizer.pad_token_id)

    def _adapter(self, version: str) -> _Loaded | None:
        if not version:
            return None
        with self._lock:
            loaded, lease = self._loaded.get(version), self._leases.get(version)
            known = sorted(self._loaded)
        if loaded is None and lease is not None:
            return lease.loaded
        if loaded is None:
            raise ShouldNameKnownId(
                f"No adapter {version!r} is loaded.", f"Loaded: {', '.join(known) or 'none'}."
            )
        return loaded

    def _asked(self, position: int, request: SpeakRequest) -> Asked:
        adapter = self._adapter(request.adapter)
        context = self._base.context_tokens
        reserved = min(request.generation.max_new_tokens, context // 2)
        prompt = self._renderer.prompt(request.messages, reserved)
        sampler = Sampler(
            request.generation, request.seed, torch.tensor(prompt, device=self.device)
        )
        limit = min(request.generation.max_new_tokens, context - len(prompt))
        return Asked(position, prompt, limit, sampler, adapter)

    def _scored(self, position: int, prompt: tuple[Message, ...], completion: str) -> Scored:
        tokens = self._renderer.completion(completion)
        if len(tokens) >= self._base.context_tokens:
            raise ShouldFixArgument(
                f"A completion of {len(tokens)} tokens is longer than the context of "
                f"{self._base.context_tokens}.",
                "Cut it.",
            )
        return Scored(position, self._renderer.prompt(prompt, len(tokens)), tokens)

    def _follow(
        self,
        asked: Sequence[Asked],
        requests: Sequence[SpeakRequest],
        abandoned: Callable[[int], bool],
    ) -> Iterator[Spoken]:
        # Those that may go on for equally long end together; then those whose prompts need no padding.
        by_length = sorted(asked, key=lambda one: (one.limit, len(one.prompt), one.position))
        for start in range(0, len(by_length), self._batch_size):
            chunk = by_length[start : start + self._batch_size]
            chunk.sort(key=lambda one: (requests[one.position].adapter, id(one.adapter)))
            yield from self._batch(chunk, requests, abandoned)

    def _batch(
        self,
        asked: Sequence[Asked],
        requests: Sequence[SpeakRequest],
        abandoned: Callable[[int], bool],
    ) -> Iterator[Spoken]:
        began = time.perf_counter()
        texts = {one.position: Pieces(self._tokenizer) for one in asked}
        counts = dict.fromkeys(texts, 0)
        prompts = {one.position: len(one.prompt) for one in asked}
        made = decode(self._model, self._routing, asked, self._stops, self._padding, abandoned)
        for token in made:
            position = token.position
            if token.broken:
                yield Spoken(position, "", problem=_broken(requests[position].adapter))
                continue
            counts[position] += 1
            piece = "" if token.stops else texts[position].push(token.token)
            if piece:
                yield Spoken(position, piece)
            if token.last:
                answer = Answer(
                    text=texts[position].text,
                    adapter=requests[position].adapter,
                    tokens=counts[position],
                    prompt_tokens=prompts[position],
                    ended=token.stops,
                    seconds=time.perf_counter() - began,
                )
                yield Spoken(position, "", answer)


def _whole(spoken: Spoken) -> Spoken:
    if spoken.problem is not None:
        raise spoken.problem
    return spoken


def _broken(adapter: str) -> ShouldRetryLater:
    return ShouldRetryLater(
        f"The voice failed: the logits of {f'adapter {adapter!r}' if adapter else 'the base'} are not "
        "finite.",
        "Ask again; where it stays so, roll the adapter back and train it again.",
    )


def _device(asked: str) -> torch.device:
    if asked == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.device(asked)
    except RuntimeError as problem:
        raise ShouldFixArgument(
            f"device={asked!r} is none.", "Give auto, cpu or cuda."
        ) from problem
