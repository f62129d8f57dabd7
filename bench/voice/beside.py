"""Near-duplicates a second, and what a swap of adapters and a batch of two of them cost; writes JSON.

python -m bench.voice.beside BASE FILE [--quick]
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from bench.voice.problem import QUICK, Size, texts, voice
from everloop.adaptation.near_duplicates import measure_removal
from everloop.adaptation.training.models import with_adapter
from everloop.adaptation.training.publish import publish
from everloop.contracts.speaking import AdapterFolder, BaseFolder, SpeakRequest
from everloop.contracts.voice_spec import GenerationSpec
from everloop.contracts.voices import Message
from everloop.speaking.base import open_base
from everloop.speaking.engine import Engine

ASKED = ("What did you do today?", "Tell me of a place you like.", "How do you rest?", "Any plans?")
SWAPS = 9


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(prog="python -m bench.voice.beside", description=__doc__)
    parser.add_argument("base", type=Path)
    parser.add_argument("file", type=Path)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    size = QUICK if options.quick else Size()
    rows = [_removal(size), *_speaking(open_base(options.base), size)]
    options.file.write_text(json.dumps({"rows": rows}))


def _removal(size: Size) -> dict[str, Any]:
    found = measure_removal(texts(size.texts))
    return {
        "system": "near_duplicates",
        "size": found.documents,
        "duplicates": found.duplicates,
        "documents_per_s": found.documents_per_second,
        "bytes_per_document": found.bytes_per_document,
    }


def _speaking(base: BaseFolder, size: Size) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as place:
        one, other = (_adapter(base, Path(place) / str(seed), seed) for seed in (1, 2))
        engine = Engine(base, device="cpu")
        engine.load(one)
        swaps = [_swap(engine, other) for _ in range(SWAPS)]
        engine.load(other)
        batches = {
            "base_alone": [""],
            "one_adapter": [one.version],
            "two_adapters": [one.version, other.version],
        }
        _answers(engine, [one.version], size)
        times: dict[str, list[float]] = {name: [] for name in batches}
        tokens: dict[str, list[float]] = {"everloop": [], "generate": []}
        plain = _Plain(base)
        plain.answers(size)
        for _ in range(3):
            for name, versions in batches.items():
                times[name].append(_answers(engine, versions, size)[0])
            tokens["everloop"].append(_a_token(*_answers(engine, [""], size)))
            tokens["generate"].append(_a_token(*plain.answers(size)))
    medians = {name: statistics.median(found) for name, found in times.items()}
    return [
        {"system": "adapter_swap", "size": SWAPS, "median_ms": statistics.median(swaps) * 1e3},
        {
            "system": "ab_batch",
            "size": size.answers,
            "new_tokens": size.new_tokens,
            **{f"{name}_cpu_s": found for name, found in medians.items()},
            "two_over_one": medians["two_adapters"] / medians["one_adapter"],
        },
        {
            "system": "answers",
            "size": size.answers,
            **{f"{name}_cpu_s_a_token": statistics.median(all_) for name, all_ in tokens.items()},
            "everloop_over_generate": statistics.median(
                own / other for own, other in zip(*tokens.values(), strict=True)
            ),
        },
    ]


def _a_token(seconds: float, tokens: int) -> float:
    return seconds / tokens


def _adapter(base: BaseFolder, out: Path, seed: int) -> AdapterFolder:
    """A new adapter, moved off 0, as a training would."""
    model = with_adapter(base, voice(Size()).lora, seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=1e-3)
    return publish(model, base, out)


def _swap(engine: Engine, adapter: AdapterFolder) -> float:
    """Seconds to load and verify an adapter beside the one that serves."""
    began = time.perf_counter()
    engine.load(adapter)
    taken = time.perf_counter() - began
    engine.unload(adapter.version)
    return taken


def _answers(engine: Engine, versions: list[str], size: Size) -> tuple[float, int]:
    """CPU seconds and tokens of one batch, its rows shared among adapters."""
    generation = GenerationSpec(max_new_tokens=size.new_tokens)
    requests = [
        SpeakRequest(
            (Message("user", ASKED[row % len(ASKED)]),),
            adapter=versions[row % len(versions)],
            seed=row,
            generation=generation,
        )
        for row in range(size.answers)
    ]
    began = time.process_time()
    answers = engine.answer(requests)
    return time.process_time() - began, sum(answer.tokens for answer in answers)


class _Plain:
    """transformers' own ``generate`` on the same base, prompts, lengths and sampling, in float32."""

    def __init__(self, base: BaseFolder) -> None:
        self._tokenizer = AutoTokenizer.from_pretrained(base.path, padding_side="left")
        self._model = AutoModelForCausalLM.from_pretrained(base.path, dtype=torch.float32).eval()

    def answers(self, size: Size) -> tuple[float, int]:
        """CPU seconds and tokens of one batch."""
        spec = GenerationSpec(max_new_tokens=size.new_tokens)
        asked = [[{"role": "user", "content": ASKED[n % len(ASKED)]}] for n in range(size.answers)]
        batch = self._tokenizer.apply_chat_template(
            asked, add_generation_prompt=True, padding=True, return_tensors="pt", return_dict=True
        )
        began = time.process_time()
        with torch.inference_mode():
            said = self._model.generate(
                **batch,
                do_sample=True,
                temperature=spec.temperature,
                top_p=spec.top_p,
                repetition_penalty=spec.repetition_penalty,
                max_new_tokens=spec.max_new_tokens,
            )[:, batch["input_ids"].shape[1] :]
        taken = time.process_time() - began
        ended = (said == self._tokenizer.eos_token_id).cumsum(dim=1)
        return taken, int((ended.cumsum(dim=1) <= 1).sum())


if __name__ == "__main__":
    main()
