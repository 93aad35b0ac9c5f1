"""English word stems by the Porter2 (Snowball "English") algorithm.

Stems let "calibrated", "calibrating" and "calibration" meet in one index term. The second version
of the algorithm is used because the first one conflates "general" with "generate", which are two
different needs in this catalogue.

Reference
---------
M. F. Porter, "The English (Porter2) stemming algorithm", https://snowballstem.org
(regions R1 and R2, short syllables and steps 0 to 5 are named as there).
"""

from __future__ import annotations

__all__ = ["stem"]

_VOWELS = frozenset("aeiouy")
_DOUBLES = ("bb", "dd", "ff", "gg", "mm", "nn", "pp", "rr", "tt")
_LI_ENDINGS = frozenset("cdeghkmnrt")
_LONG_PREFIXES = ("gener", "commun", "arsen")

_SPECIAL = {
    "skis": "ski",
    "skies": "sky",
    "dying": "die",
    "lying": "lie",
    "tying": "tie",
    "idly": "idl",
    "gently": "gentl",
    "ugly": "ugli",
    "early": "earli",
    "only": "onli",
    "singly": "singl",
}
_INVARIANT = frozenset(("sky", "news", "howe", "atlas", "cosmos", "bias", "andes"))
_INVARIANT_AFTER_PLURAL = frozenset(
    ("inning", "outing", "canning", "herring", "earring", "proceed", "exceed", "succeed")
)

# Longest suffix first: the first that fits is the only one tried, whether or not it is replaced.
_STEP_2 = (
    ("ational", "ate"),
    ("fulness", "ful"),
    ("iveness", "ive"),
    ("ization", "ize"),
    ("ousness", "ous"),
    ("biliti", "ble"),
    ("lessli", "less"),
    ("tional", "tion"),
    ("alism", "al"),
    ("aliti", "al"),
    ("ation", "ate"),
    ("entli", "ent"),
    ("fulli", "ful"),
    ("iviti", "ive"),
    ("ousli", "ous"),
    ("abli", "able"),
    ("alli", "al"),
    ("anci", "ance"),
    ("ator", "ate"),
    ("enci", "ence"),
    ("izer", "ize"),
    ("bli", "ble"),
    ("ogi", "og"),
    ("li", ""),
)
_STEP_3 = (
    ("ational", "ate"),
    ("tional", "tion"),
    ("alize", "al"),
    ("ative", ""),
    ("icate", "ic"),
    ("iciti", "ic"),
    ("ical", "ic"),
    ("ness", ""),
    ("ful", ""),
)
_STEP_4 = (
    "ement", "able", "ance", "ence", "ible", "ment",
    "ant", "ate", "ent", "ion", "ism", "iti", "ive", "ize", "ous",
    "al", "er", "ic",
)  # fmt: skip


def stem(word: str) -> str:
    """Return the stem of one lower-case English word.

    Parameters
    ----------
    word
        A word in lower case, without spaces. Other characters than letters pass unchanged.

    Returns
    -------
    str
        The stem; it need not be a word itself.

    Examples
    --------
    >>> [stem(word) for word in ("calibrated", "calibration", "generalize", "generate")]
    ['calibr', 'calibr', 'general', 'generat']
    """
    if len(word) <= 2:
        return word
    if word in _SPECIAL:
        return _SPECIAL[word]
    if word in _INVARIANT:
        return word
    word = _mark_consonant_y(word.removeprefix("'"))
    first, second = _regions(word)
    word = _plural(_apostrophe(word))
    if word in _INVARIANT_AFTER_PLURAL:
        return word
    word = _final_y(_past_and_gerund(word, first))
    word = _derivation_2(word, first)
    word = _derivation_3(word, first, second)
    word = _derivation_4(word, second)
    return _final_e_and_l(word, first, second).lower()


def _mark_consonant_y(word: str) -> str:
    """Write Y for a y that acts as a consonant: at the start, or after a vowel."""
    letters = list(word)
    for position, letter in enumerate(letters):
        if letter == "y" and (position == 0 or letters[position - 1] in _VOWELS):
            letters[position] = "Y"
    return "".join(letters)


def _after_vowel_consonant(word: str, start: int) -> int:
    """Return where the region begins after the first consonant that follows a vowel."""
    for position in range(start + 1, len(word)):
        if word[position] not in _VOWELS and word[position - 1] in _VOWELS:
            return position + 1
    return len(word)


def _regions(word: str) -> tuple[int, int]:
    """Return the starts of R1 and R2."""
    first = next((len(p) for p in _LONG_PREFIXES if word.startswith(p)), None)
    if first is None:
        first = _after_vowel_consonant(word, 0)
    return first, _after_vowel_consonant(word, first)


def _has_vowel(text: str) -> bool:
    return any(letter in _VOWELS for letter in text)


def _ends_in_short_syllable(word: str) -> bool:
    if len(word) == 2:
        return word[0] in _VOWELS and word[1] not in _VOWELS
    return (
        len(word) > 2
        and word[-3] not in _VOWELS
        and word[-2] in _VOWELS
        and word[-1] not in _VOWELS
        and word[-1] not in "wxY"
    )


def _apostrophe(word: str) -> str:
    """Step 0."""
    for suffix in ("'s'", "'s", "'"):
        if word.endswith(suffix):
            return word[: -len(suffix)]
    return word


def _plural(word: str) -> str:
    """Step 1a."""
    if word.endswith("sses"):
        return word[:-2]
    if word.endswith(("ied", "ies")):
        return word[:-2] if len(word) > 4 else word[:-1]
    if word.endswith("s") and not word.endswith(("us", "ss")) and _has_vowel(word[:-2]):
        return word[:-1]
    return word


def _past_and_gerund(word: str, first: int) -> str:
    """Step 1b."""
    for suffix in ("eedly", "eed"):
        if word.endswith(suffix):
            start = len(word) - len(suffix)
            return word[:start] + "ee" if start >= first else word
    for suffix in ("ingly", "edly", "ing", "ed"):
        if word.endswith(suffix):
            base = word[: -len(suffix)]
            return _restore_ending(base, first) if _has_vowel(base) else word
    return word


def _restore_ending(base: str, first: int) -> str:
    if base.endswith(("at", "bl", "iz")):
        return base + "e"
    if base.endswith(_DOUBLES):
        return base[:-1]
    if len(base) <= first and _ends_in_short_syllable(base):
        return base + "e"
    return base


def _final_y(word: str) -> str:
    """Step 1c."""
    if len(word) > 2 and word[-1] in "yY" and word[-2] not in _VOWELS:
        return word[:-1] + "i"
    return word


def _derivation_2(word: str, first: int) -> str:
    """Step 2."""
    for suffix, replacement in _STEP_2:
        if word.endswith(suffix):
            base = word[: -len(suffix)]
            if len(base) < first:
                return word
            if suffix == "ogi" and not base.endswith("l"):
                return word
            if suffix == "li" and (not base or base[-1] not in _LI_ENDINGS):
                return word
            return base + replacement
    return word


def _derivation_3(word: str, first: int, second: int) -> str:
    """Step 3."""
    for suffix, replacement in _STEP_3:
        if word.endswith(suffix):
            start = len(word) - len(suffix)
            if start < first or (suffix == "ative" and start < second):
                return word
            return word[:start] + replacement
    return word


def _derivation_4(word: str, second: int) -> str:
    """Step 4."""
    for suffix in _STEP_4:
        if word.endswith(suffix):
            base = word[: -len(suffix)]
            if len(base) < second or (suffix == "ion" and not base.endswith(("s", "t"))):
                return word
            return base
    return word


def _final_e_and_l(word: str, first: int, second: int) -> str:
    """Step 5."""
    base = word[:-1]
    if word.endswith("e"):
        in_second = len(base) >= second
        in_first = len(base) >= first
        return base if in_second or (in_first and not _ends_in_short_syllable(base)) else word
    if word.endswith("ll") and len(base) >= second:
        return base
    return word
