"""A language model of a tenth of a million parameters, built where a test needs one.

Its architecture, tokenizer and chat template are those of a real base; its weights are drawn, so it says
nothing sensible and learns quickly.
"""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from everloop.contracts.speaking import BaseFolder
from everloop.contracts.voice_spec import BaseSpec
from everloop.speaking.base import write_manifest

NAME = "tiny-llama"
START, END, PAD = "<|im_start|>", "<|im_end|>", "<|endoftext|>"
TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
TEXT = """
Hello, how are you today? I am well, thank you. What would you like to talk about this evening?
I had a long day at work and my manager was not happy with the report that I wrote last week.
That sounds hard. Would you like to tell me what happened, or shall we think of something else?
You could take a short walk, call a friend, or write down the three things that went well today.
Please answer in one sentence. Sure. Here is the answer in a few words: yes, but slowly and gently.
Dear Sir or Madam, I would be most grateful if you could kindly consider the following proposal.
hey, no worries at all, that is totally fine, we can do it tomorrow if you like, see you then!
The kettle is warm, the lamp is small, the garden sleeps behind the wall, and nobody is late at all.
My sister moved to another city in the spring and I miss the Sunday mornings when we cooked together.
How do I boil an egg? Put it in boiling water for seven minutes, then in cold water for one minute.
What is the capital of France? Paris. What is two and two? Four. Who wrote this? I do not know.
I cannot help with that, but I can tell you where to find somebody who is able to listen right now.
system user assistant: a companion who listens, answers plainly and never pretends to be human.
Learning takes time; mistakes teach more than praise, and every small step counts in the long run.
"""


def tiny_base(folder: Path) -> BaseFolder:
    """Build the model in ``folder``, which is made; the same bytes at every call.

    A Llama of two layers of width 64 in bfloat16, a byte-level BPE of about 600 tokens and a ChatML
    template (``<|im_start|>role\\n…<|im_end|>\\n``).
    """
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = _save_tokenizer(folder)
    _save_model(folder, vocabulary)
    told = BaseSpec(name=NAME, source="drawn", license="Apache-2.0", context_tokens=512)
    return write_manifest(folder, told)


@pytest.fixture(scope="session")
def tiny_voice(tmp_path_factory: pytest.TempPathFactory) -> BaseFolder:
    """The tiny base, built once a session. Tests read it and leave it as it is."""
    return tiny_base(tmp_path_factory.mktemp("tiny") / NAME)


def _save_tokenizer(folder: Path) -> int:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=[PAD, START, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXT.strip().splitlines(), trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token=END, pad_token=PAD, chat_template=TEMPLATE
    )
    fast.save_pretrained(folder)
    return len(fast)


def _save_model(folder: Path, vocabulary: int) -> None:
    import torch
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=64,
        intermediate_size=112,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        initializer_range=0.1,
        tie_word_embeddings=True,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=2,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(9)
        model = LlamaForCausalLM(config).to(torch.bfloat16)
    model.generation_config = GenerationConfig(pad_token_id=0, eos_token_id=2)
    loggers = logging.getLogger("transformers")
    level = loggers.level
    loggers.setLevel(logging.ERROR)
    model.save_pretrained(folder)
    loggers.setLevel(level)
