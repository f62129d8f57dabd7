from __future__ import annotations

from pathlib import Path

import pytest

from everloop.contracts.speaking import BaseFolder
from everloop.contracts.voice_spec import BaseSpec
from everloop.speaking.tokenizers import set_turn_ends
from tests.tiny_voice import TEMPLATE

INTRODUCES = (
    "{% if messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are Somebody, trained by Others<|im_end|>\n' }}{% endif %}"
)


@pytest.mark.parametrize("template", [INTRODUCES + TEMPLATE, TEMPLATE])
def test_a_base_says_nothing_of_itself(tiny_voice: BaseFolder, template: str) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_voice.path, local_files_only=True)
    tokenizer.chat_template = template
    set_turn_ends(tokenizer, BaseSpec(name="tiny", source=str(Path()), license="Apache-2.0"))
    told = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Hello."}], tokenize=False, add_generation_prompt=True
    )
    assert told == "<|im_start|>user\nHello.<|im_end|>\n<|im_start|>assistant\n"
    both = [{"role": "system", "content": "Be plain."}, {"role": "user", "content": "Hello."}]
    assert tokenizer.apply_chat_template(both, tokenize=False).startswith(
        "<|im_start|>system\nBe plain.<|im_end|>\n"
    )
