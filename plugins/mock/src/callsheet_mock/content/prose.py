"""Readable English-like text, and how long it takes to speak it."""

from __future__ import annotations

from typing import Final

from .seeds import Seed

_ADJECTIVES: Final = (
    "amber ancient bright broken calm clear cold curious deep distant early empty faint first frozen gentle "
    "golden green grey heavy hidden high hollow late lonely long low misty narrow new old open pale patient "
    "quiet rough sharp short silent silver slow small soft still strange tall warm wet wide wild young"
)
_NOUNS: Final = (
    "actor afternoon autumn avalanche bell bird bridge cabin camera cloud crew dawn director dust echo evening "
    "film fire fog forest frame frost glacier goat harvest hill horizon lake lantern lens light meadow melody "
    "mist moon morning mountain night path peak pine rain reel ridge river road rock rope scene shadow shepherd "
    "shot shore sky slope snow spring star stone storm story stream summer summit sun thunder trail train "
    "traveller tree valley village voice wind window winter"
)
_VERBS: Final = (
    "answers carries catches crosses finds follows greets holds hides keeps leaves meets paints passes reaches "
    "remembers reveals shapes touches watches"
)
_PLACES: Final = "above across after against along before behind below beneath beside beyond near over past"
_WORDS_A_MINUTE: Final = 150
_LONG_WORD: Final = 12  # characters that count as one word, for writing without spaces


def words(seed: Seed, count: int) -> str:
    """Sentences with exactly ``count`` words in all."""
    if count < 1:
        return ""
    sentences: list[str] = []
    while count > 0:
        # A last sentence is not left with a word or two.
        length = count if count <= 12 else seed.integer(6, min(11, count - 4))
        sentences.append(_sentence(seed, length))
        count -= length
    return " ".join(sentences)


def paragraph(seed: Seed, target_words: int) -> str:
    """Whole sentences of natural length, about ``target_words`` words in all and at least one sentence."""
    spread = target_words // 10
    return words(seed, max(6, target_words + seed.integer(-spread, spread)))


def _one(seed: Seed, listed: str) -> str:
    """One of the words of a list in a string."""
    return seed.choice(listed.split())


def _sentence(seed: Seed, length: int) -> str:
    """A sentence of ``length`` words: who does what to whom, and where."""
    out = ["the", _one(seed, _ADJECTIVES), _one(seed, _NOUNS), _one(seed, _VERBS), "the", _one(seed, _NOUNS)]
    if length < 6:
        # Too short for a full sentence: the end of a list of nouns is readable at any length.
        out = [_one(seed, _ADJECTIVES) for _ in range(length - 1)] + [_one(seed, _NOUNS)]
    while len(out) < length:
        left = length - len(out)
        if left == 1:
            out.insert(len(out) - 1, _one(seed, _ADJECTIVES))
        elif left == 2:
            out += ["and", _one(seed, _NOUNS)]
        else:
            out += [_one(seed, _PLACES), "the", _one(seed, _NOUNS)]
    sentence = " ".join(out)
    return sentence[0].upper() + sentence[1:] + "."


def speech_seconds(text: str, speed: float = 1.0) -> float:
    """How long speaking the text takes at 150 words a minute times ``speed``: at least 0.5 s, to 0.01 s."""
    if not speed > 0:
        raise ValueError(f"speed must be above 0, not {speed}")
    count = sum(-(-len(word) // _LONG_WORD) for word in text.split())
    return max(0.5, round(count * 60 / _WORDS_A_MINUTE / speed, 2))
