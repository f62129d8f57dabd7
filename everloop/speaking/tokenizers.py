"""Tokenizers whose end of turn is their EOS, and that split text as their model was taught to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from everloop.contracts.errors import ShouldFixLoopSpec
from everloop.contracts.voice_spec import BaseSpec

_SAID = "everloop said this"
_TURN = "<|im_start|>"
_CHATML = frozenset({_TURN, "<|im_end|>"})
_PLAIN_CHATML = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
_USUAL_PADDING = ("<|endoftext|>", "<pad>", "<|pad|>")
_SINGLE_DIGITS = frozenset({"smollm", "starcoder", "refact", "command-r"})
"""``tokenizer.ggml.pre`` of tokenizers that split numbers into digits before anything else. Source:
llama.cpp, ``src/llama-vocab.cpp``. transformers reads the vocabulary of a GGUF file and not this."""


def gguf_tokenizer(path: Path) -> Any:
    """The tokenizer that a GGUF file carries, with the splitting of numbers that it names."""
    from gguf import GGUFReader  # noqa: PLC0415
    from tokenizers import pre_tokenizers  # noqa: PLC0415
    from transformers import AutoTokenizer  # noqa: PLC0415

    tokenizer = AutoTokenizer.from_pretrained(
        path.parent, gguf_file=path.name, local_files_only=True
    )
    field = GGUFReader(path).fields.get("tokenizer.ggml.pre")
    if field is not None and field.contents() in _SINGLE_DIGITS:
        split = [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
        tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(split)
    return tokenizer


def set_turn_ends(tokenizer: Any, spec: BaseSpec) -> None:
    """Make the token that ends a turn in the chat template the EOS, and padding another token.

    Where padding is the EOS too, whoever masks padding also unlearns to stop.

    Raises:
        ShouldFixLoopSpec: there is no chat template, it renders no system turn, or it ends a turn with
            no token of its own.
    """
    what = f"voice.base: {spec.name}"
    if not getattr(tokenizer, "chat_template", None):
        raise ShouldFixLoopSpec(
            f"{what} has no chat template.", "Name an instruction-tuned model that has one."
        )
    tokenizer.eos_token = end_of_turn(tokenizer, what)
    _leave_out_own_identity(tokenizer)
    if tokenizer.pad_token in (None, tokenizer.eos_token):
        spare = [token for token, _ in special_tokens(tokenizer) if token != tokenizer.eos_token]
        if not spare:
            raise ShouldFixLoopSpec(
                f"{what} has no token to pad with but {tokenizer.eos_token}, its end of turn.",
                "Add a special token to its tokenizer.",
            )
        usual = [token for token in _USUAL_PADDING if token in spare]
        tokenizer.pad_token = (usual or spare)[0]


def _leave_out_own_identity(tokenizer: Any) -> None:
    """Where a ChatML template makes a system turn of its own ("You are …, trained by …"), render what was
    said and nothing else: the voice's own prompt says who speaks, in training as in service."""
    alone = tokenizer.apply_chat_template([{"role": "user", "content": _SAID}], tokenize=False)
    names = {token for token, _ in special_tokens(tokenizer)}
    if names >= _CHATML and str(alone).count(_TURN) > 1:
        tokenizer.chat_template = _PLAIN_CHATML


def end_of_turn(tokenizer: Any, what: str = "the tokenizer") -> str:
    """The special token right after what the assistant said, as the chat template renders it.

    Raises:
        ShouldFixLoopSpec: there is none.
    """
    turns = [
        {"role": "system", "content": "Be plain."},
        {"role": "user", "content": "Hello."},
        {"role": "assistant", "content": _SAID},
    ]
    try:
        text = str(tokenizer.apply_chat_template(turns, tokenize=False))
    except Exception as problem:  # a template is somebody's program and raises what it likes
        raise ShouldFixLoopSpec(
            f"{what}: its chat template fails ({problem}).",
            "Name a model whose template takes system, user and assistant turns.",
        ) from problem
    after = text.rpartition(_SAID)[2].lstrip()
    ends = [token for token, _ in special_tokens(tokenizer) if after.startswith(token)]
    if not ends or "Be plain." not in text:
        raise ShouldFixLoopSpec(
            f"{what}: its chat template leaves out the system turn or ends a turn with {after!r}, "
            "which is no special token.",
            "Name a model whose template takes a system turn and ends each turn with a token.",
        )
    return max(ends, key=len)


def special_tokens(tokenizer: Any) -> list[tuple[str, int]]:
    """Special tokens with their ids, by id: no text that anybody writes holds them."""
    return [
        (str(token.content), int(index))
        for index, token in sorted(tokenizer.added_tokens_decoder.items())
        if token.special
    ]
