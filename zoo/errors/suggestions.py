"""Known names that a user may have meant by an unknown one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches

# Names from other projects, each with the name here. A suggestion is made only where the name here is known.
ALIASES: Mapping[str, str] = {
    "bs": "batch_size",
    "cohen": "gaussian",
    "fmnist": "fashion-mnist",
    "folder": "imagefolder",
    "images": "imagefolder",
    "learning_rate": "optimizer.lr",
    "madry": "adversarial",
    "num_samples": "n",
    "photos": "imagefolder",
    "pictures": "imagefolder",
    "samples": "n",
}
_LONGEST_NAME = 80  # difflib takes quadratic time, and a name may come from a client of a server
_SEPARATORS = re.compile(r"[-_. :/]+")


def suggestions(name: str, known: Iterable[str], *, most: int = 1, cutoff: float = 0.6) -> list[str]:
    """Up to `most` of the known names that resemble `name`, the likeliest first.

    An alias comes first, then names of which `name` is a beginning or a part, then names of similar spelling. `cutoff`
    is the least similarity of spelling, in [0, 1].
    """
    if not name or len(name) > _LONGEST_NAME:
        return []
    spelled = {_plain(each): each for each in known}
    given = _plain(name)
    found = [spelled[_plain(alias)] for alias in (ALIASES.get(given),) if alias and _plain(alias) in spelled]
    found += sorted((spelled[each] for each in spelled if each.startswith(given)), key=len)
    found += [spelled[each] for each in spelled if given in each.split("_")]
    found += [spelled[each] for each in get_close_matches(given, spelled, n=most, cutoff=cutoff)]
    return list(dict.fromkeys(found))[:most]


def did_you_mean(name: str, known: Iterable[str], *, cutoff: float = 0.6) -> str:
    """The sentence that ends an error about an unknown name, with a space before it; empty without a suggestion."""
    return "".join(f" Did you mean {each!r}?" for each in suggestions(name, known, cutoff=cutoff))


def _plain(name: str) -> str:
    """The name in lower case with one kind of separator: `batch-size` is meant to be `batch_size`."""
    return _SEPARATORS.sub("_", name.lower()).strip("_")
