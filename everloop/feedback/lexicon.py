"""What people's words about an output mean: words and phrases, and the category each belongs to.

An entry's ``kind`` says when a mention is a complaint; ``everloop/feedback/free_text.py`` reads them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from everloop.feedback.lexicon_entry import Entry, Kind

_TABLE: tuple[tuple[Kind, str, str, str], ...] = (
    # formality
    (
        Kind.PLAIN,
        "too_formal",
        "too_casual",
        "formal, formally, official, businesslike, business like",
    ),
    (Kind.VIRTUE, "too_formal", "too_casual", "professional, proper"),
    (
        Kind.FAULT,
        "too_formal",
        "too_casual",
        "stiff, stuffy, corporate, stilted, formality, pompous, bureaucratic, legalese, "
        "corporate speak, business speak",
    ),
    (
        Kind.PLAIN,
        "too_casual",
        "too_formal",
        "casual, casually, informal, informally, relaxed, colloquial, laid back, laid-back, chatty",
    ),
    (Kind.FAULT, "too_casual", "too_formal", "sloppy, slangy, slang, unprofessional, chummy"),
    # verbosity
    (
        Kind.PLAIN,
        "too_long",
        "too_short",
        "long, much text, many words, much information, much info, much detail, many details, "
        "detail, "
        "details, information, explanation, explanations, examples, context, depth",
    ),
    (
        Kind.FAULT,
        "too_long",
        "too_short",
        "wordy, verbose, lengthy, long winded, long-winded, rambling, rambles, rambled, ramble, "
        "wall of text, on_and_on, tldr, tl dr, waffle, waffling, longwinded, get to the point, "
        "get to the point faster, "
        "drags on, dragged on, bloated",
    ),
    (Kind.PLAIN, "too_short", "too_long", "short, brief"),
    (Kind.FAULT, "too_short", "too_long", "terse, curt, abrupt, cut short"),
    (Kind.VIRTUE, "too_short", "too_long", "concise, succinct, to the point, short_and_sweet"),
    (Kind.VIRTUE, "too_long", "too_short", "detailed, thorough"),
    (
        Kind.COMPARATIVE,
        "too_long",
        "too_short",
        "shorter, briefer, shorten, shorten it, trim it, tighter, fewer words",
    ),
    (Kind.COMPARATIVE, "too_short", "too_long", "longer, elaborate, elaborate more"),
    # vocabulary_complexity
    (
        Kind.FAULT,
        "too_complex",
        "too_simple",
        "big words, long words, fancy words, complicated words, complex words, difficult words, "
        "hard words, technical terms, technical words, jargon, big vocabulary, fancy language, "
        "hard to understand, hard to follow, difficult to understand, difficult to follow, "
        "overcomplicated, convoluted, over my head",
    ),
    (
        Kind.PLAIN,
        "too_complex",
        "too_simple",
        "technical, complicated, complex, academic, scientific",
    ),
    (
        Kind.FAULT,
        "too_simple",
        "too_complex",
        "simplistic, dumbed down, baby talk, childish, patronizingly simple, baby words",
    ),
    (Kind.PLAIN, "too_simple", "too_complex", "basic, simple words, easy words, small words"),
    (Kind.VIRTUE, "too_simple", "too_complex", "simple"),
    (Kind.VIRTUE, "", "too_complex", "understandable, easy to understand, easy to follow"),
    (
        Kind.COMPARATIVE,
        "too_complex",
        "too_simple",
        "simpler, simpler words, simplify, easier to understand, easier words, plainer, "
        "plain english, plain language, in plain english",
    ),
    # warmth
    (
        Kind.FAULT,
        "rude",
        "too_friendly",
        "rude, harsh, was mean, is mean, so mean, too mean, sounds mean, sounded mean, dismissive, "
        "condescending, patronizing, patronising, "
        "impolite, disrespectful, snarky, sarcastic, hostile, aggressive, insensitive, unkind, "
        "nasty, "
        "judgmental, judgemental, passive aggressive, passive-aggressive, arrogant, snippy",
    ),
    (
        Kind.FAULT,
        "too_cold",
        "too_friendly",
        "cold, unfriendly, blunt, impersonal, distant, heartless, uncaring, detached",
    ),
    (
        Kind.VIRTUE,
        "too_friendly",
        "too_cold",
        "friendly, warm, kind, polite, caring, sympathetic, empathetic, empathy, affectionate, "
        "respectful, welcoming, sweet, warmth, compassionate",
    ),
    (
        Kind.FAULT,
        "too_friendly",
        "too_cold",
        "clingy, gushing, sappy, saccharine, syrupy, over friendly, overfriendly, "
        "over the top, fawning, sycophantic, cheesy, mushy",
    ),
    (
        Kind.COMPARATIVE,
        "too_cold",
        "too_friendly",
        "warmer, friendlier, kinder, nicer, gentler, softer",
    ),
    # humor
    (
        Kind.FAULT,
        "too_jokey",
        "too_serious",
        "jokey, silly, flippant, goofy, clownish, corny, jokes, puns",
    ),
    (Kind.VIRTUE, "too_jokey", "too_serious", "funny, humorous, playful, witty, humor, humour"),
    (Kind.PLAIN, "too_serious", "too_jokey", "serious, solemn, grave"),
    (Kind.FAULT, "too_serious", "too_jokey", "humorless, humourless, dry, gloomy"),
    (Kind.COMPARATIVE, "too_serious", "too_jokey", "funnier, wittier, lighter"),
    # enthusiasm
    (
        Kind.FAULT,
        "too_excited",
        "too_flat",
        "hyper, over excited, overexcited, over enthusiastic, overenthusiastic, peppy, "
        "exclamation marks, exclamation points, hysterical, shouty",
    ),
    (
        Kind.VIRTUE,
        "too_excited",
        "too_flat",
        "enthusiastic, excited, energetic, lively, upbeat, cheerful, bubbly",
    ),
    (
        Kind.FAULT,
        "too_flat",
        "too_excited",
        "flat, monotone, monotonous, bored, boring, dull, lifeless, robotic, bland, emotionless, "
        "deadpan, like a robot, like a machine, mechanical, wooden",
    ),
    (Kind.PLAIN, "too_many_emoji", "too_few_emoji", "emoji, emojis, emoticons, smileys"),
    # directness
    (
        Kind.FAULT,
        "too_vague",
        "too_pushy",
        "vague, evasive, wishy washy, wishy-washy, noncommittal, beating around the bush, generic, "
        "ambiguous, unclear, hedging, mealy mouthed",
    ),
    (
        Kind.VIRTUE,
        "too_pushy",
        "too_vague",
        "direct, specific, assertive, clear, precise, concrete",
    ),
    (
        Kind.FAULT,
        "too_pushy",
        "too_vague",
        "pushy, bossy, preachy, lecturing, lectured, lecture me, lectures me, nagging, moralizing, "
        "moralising, salesy, "
        "demanding, overbearing, intrusive",
    ),
    (Kind.COMPARATIVE, "too_vague", "too_pushy", "clearer"),
    # voice
    (Kind.FAULT, "too_fast", "too_slow", "too fast, too quick, too quickly, rushed"),
    (Kind.FAULT, "too_slow", "too_fast", "too slow, too slowly"),
    (Kind.COMPARATIVE, "too_fast", "too_slow", "slower, slow down, more slowly"),
    (Kind.COMPARATIVE, "too_slow", "too_fast", "faster, speed up, more quickly"),
    (Kind.FAULT, "too_high", "too_low", "high pitched, high-pitched, squeaky, shrill, too high"),
    (Kind.FAULT, "too_low", "too_high", "low pitched, low-pitched, too low, too deep"),
    (Kind.COMPARATIVE, "too_high", "too_low", "deeper, lower voice, lower pitch"),
    (Kind.COMPARATIVE, "too_low", "too_high", "higher voice, higher pitch"),
    # is it them?
    (
        Kind.VERDICT,
        "sounds_like_me",
        "not_like_me",
        "sounds like me, sound like me, sounded like me, sounds just like me, sound just like me, "
        "sounds exactly like me, sounds so much like me, sounds a lot like me, just like me, "
        "exactly like me, so me, totally me, "
        "something i would say, something i would have said, exactly what i would say, "
        "exactly what i would have said, exactly how i talk, exactly how i would say it, "
        "my words exactly",
    ),
    (
        Kind.VERDICT,
        "",
        "not_like_me",
        "like me, what i would say, what i would have said, how i talk, how i speak, how i write, "
        "how i would say, how i would put, the way i talk, the way i speak, the way i would say, "
        "my style, my tone, my voice, my way, me at all, sound like anything i would say, "
        "anything i would say, say it like that, say it that way, say that like this, "
        "say it like this, "
        "put it like that, put it that way, talk like that, talk like this, speak like that, "
        "speak like this, write like that, write like this, talks like that, speaks like that, "
        "say something like that, say something like this, say anything like that, "
        "say things like that, "
        "say that word, use that word, use those words, use that phrase, in character",
    ),
    (
        Kind.VERDICT,
        "not_like_me",
        "sounds_like_me",
        "i would never say, no way i would say, i would never write, i would never put, "
        "i never say, i would not say that, "
        "i would not say this, i do not say that, i do not say this, not me, unlike me, "
        "out of character, "
        "not how i talk, off brand, inauthentic, fake, someone else, a stranger, not like me",
    ),
    # is it right?
    (
        Kind.VERDICT,
        "incorrect_information",
        "",
        "wrong, incorrect, inaccurate, false, untrue, made up, made it up, made that up, "
        "making things up, "
        "making stuff up, hallucinated, hallucination, hallucinating, outdated, out of date, "
        "mistaken, "
        "factual error, factual errors, mistake, mistakes, error, errors, misinformation, lie, "
        "lies, "
        "a lie, not true, no such thing, never happened, did not happen",
    ),
    (
        Kind.VERDICT,
        "liked",
        "incorrect_information",
        "right, correct, accurate, true, factual, up to date",
    ),
    (
        Kind.VERDICT,
        "off_topic",
        "",
        "off topic, off-topic, irrelevant, not what i asked, not what i was asking, "
        "not my question, "
        "besides the point, beside the point, missed the point, missing the point, "
        "misses the point, "
        "did not answer, does not answer, not answer my question, misunderstood, "
        "did not understand, does not understand, unrelated, nothing to do with",
    ),
    (
        Kind.VERDICT,
        "helpful",
        "off_topic",
        "relevant, on topic, answered my question, understood me",
    ),
    (
        Kind.VERDICT,
        "repetitive",
        "",
        "repetitive, repeats itself, repeated itself, repeating itself, keeps repeating, "
        "kept repeating, "
        "repeating yourself, over_and_over, again_and_again, same thing again, "
        "same phrase, same words, already said that, already told",
    ),
    (
        Kind.VERDICT,
        "not_helpful",
        "",
        "useless, unhelpful, no help, waste of time, pointless, did not help, does not help, "
        "no use",
    ),
    (
        Kind.VERDICT,
        "helpful",
        "not_helpful",
        "helpful, useful, helps, helped, informative, insightful, what i needed, that works, "
        "makes sense, made sense",
    ),
    (
        Kind.VERDICT,
        "offensive",
        "",
        "offensive, offended, racist, sexist, inappropriate, creepy, homophobic, hateful, "
        "disgusting, "
        "vulgar, insulting, insulted, threatening",
    ),
    # all in all
    (
        Kind.VERDICT,
        "nailed_it",
        "disliked",
        "nailed it, nailed that, nail it, nails it, spot on, spot-on, perfect, perfectly, "
        "perfection, "
        "flawless, exactly right, just right, exactly what i wanted, exactly it, hit the nail, "
        "bang on, "
        "could not have said it better, could not be better, could not agree more, chef's kiss, "
        "top notch",
    ),
    (
        Kind.VERDICT,
        "liked",
        "disliked",
        "great, good, nice, excellent, amazing, awesome, brilliant, fantastic, wonderful, love, "
        "loved, "
        "i like, i liked, really like, really liked, like it, liked it, like this, liked this, "
        "like that, "
        "liked that, like the, liked the, like how, liked how, enjoyed, enjoy, beautiful, lovely, "
        "impressive, impressed, happy, pleased, "
        "well done, well written, well said, good job, great job, thanks, thank you, cool, "
        "natural, "
        "superb, much better, even better, better than before, better now, best, "
        "satisfied, interesting, worked well, works well",
    ),
    (
        Kind.VERDICT,
        "disliked",
        "",
        "bad, terrible, awful, horrible, hate, hated, dislike, disliked, worst, worse, garbage, "
        "rubbish, "
        "trash, sucks, sucked, lame, annoying, annoyed, irritating, disappointing, disappointed, "
        "poor, "
        "poorly, cringe, cringey, cringy, weird, strange, awkward, unnatural, crap, ugh, meh, "
        "confusing, confused, stupid, dumb, nonsense, ridiculous, frustrating, frustrated, "
        "off putting, "
        "off-putting, unacceptable, do not like, did not like, not a fan, "
        "could be better, could have been better, should be better, do better, needs work",
    ),
    # no judgement, though a word of it looks like one
    (
        Kind.VERDICT,
        "",
        "",
        "right now, right away, right there, right here, all right, alright, no problem, "
        "no worries, "
        "would like, no idea, no doubt, good morning, good evening, good night, nice to meet, "
        "long time, long ago, as well as, in short, short term, long term, best regards, "
        "kind regards, mean to, kind words, in detail, my mistake, no thanks, happy to, "
        "happy birthday, "
        "short story, thanks in advance, not sure, do not know, do you mean, i mean, you mean, "
        "does it mean, mean by, what does, like to, would love, right direction, right track, "
        "dry run",
    ),
)


def _entries() -> Iterator[tuple[tuple[str, ...], Entry]]:
    for kind, category, opposite, listed in _TABLE:
        for phrase in listed.split(","):
            words = tuple(phrase.split())
            yield words, Entry(words, kind, category, opposite)


ENTRIES: Mapping[tuple[str, ...], Entry] = MappingProxyType(dict(_entries()))
"""Every entry by its words; where two share words, the longer phrase counts."""

LONGEST = max(len(words) for words in ENTRIES)
"""Words of the longest phrase."""
