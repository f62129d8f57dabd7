"""The sandboxed process: closes itself, tries the doors, opens the voice, answers its parent.

Run as ``python -m everloop.sandbox.apart.process READ WRITE`` with two inherited pipes.
"""

from __future__ import annotations

import importlib
import sys
import tempfile
from typing import cast

from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.sandboxes import OpenedVoice, VoiceFactory
from everloop.sandbox.apart import attempts
from everloop.sandbox.apart.confinement import Limits, confine
from everloop.sandbox.apart.messages import (
    Answers,
    AskAnswers,
    AskPrompt,
    AskScores,
    AskStream,
    Begin,
    Closed,
    Failed,
    Open,
    Opened,
    Piece,
    Prompt,
    Scores,
    Told,
    read_told,
    write_frame,
)


def main(reading: int, writing: int) -> int:
    """Serve one parent until it goes; the exit code."""
    begin = read_told(reading)
    if not isinstance(begin, Begin):
        return 2
    try:
        limits = Limits(begin.memory_bytes, begin.cpu_seconds)
        mechanisms = confine(begin.readable, begin.scratch, limits)
    except Exception as problem:
        write_frame(writing, Failed(kind=type(problem).__name__, message=str(problem)))
        return 1
    # Python tries a folder for temporary files by removing one, which is denied here.
    tempfile.tempdir = str(begin.scratch)
    tried = attempts.tried(begin.bait)
    write_frame(writing, Closed(mechanisms=mechanisms, tried=tried))
    voice: OpenedVoice | None = None
    while (told := read_told(reading)) is not None:
        try:
            if isinstance(told, Open):
                voice = opened(told)
                write_frame(writing, Opened(configuration=voice.configuration))
            elif voice is None:
                raise ShouldFixArgument("Nothing was opened yet.", "Send open first.")
            else:
                _reply(voice, told, writing)
        except Exception as problem:
            write_frame(writing, Failed(kind=type(problem).__name__, message=str(problem)[:2000]))
    return 0


def opened(told: Open) -> OpenedVoice:
    """The voice that a factory opens; ``ShouldFixArgument`` where there is none of that name."""
    module, _, name = told.factory.partition(":")
    try:
        factory = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as problem:
        raise ShouldFixArgument(
            f"There is no factory {told.factory!r} ({problem}).", "Name it as module:function."
        ) from problem
    return cast("VoiceFactory", factory)(told.opening)


def _reply(voice: OpenedVoice, told: Told, writing: int) -> None:
    if isinstance(told, AskAnswers):
        write_frame(writing, Answers(answers=voice.speaker.answer(told.requests)))
    elif isinstance(told, AskScores):
        got = voice.speaker.score(told.prompts, told.completions, told.adapter)
        write_frame(writing, Scores(scores=got))
    elif isinstance(told, AskPrompt):
        got_prompt = voice.prompt(told.said, told.traits, told.user_id)
        write_frame(writing, Prompt(messages=got_prompt))
    elif isinstance(told, AskStream):
        for piece in voice.speaker.stream(told.request):
            write_frame(writing, Piece(text=piece))
        write_frame(writing, Piece(text="", last=True))


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])))
