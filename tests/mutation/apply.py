"""Puts a mutant into the modules that are imported already.

The functions of the changed module get the code and the defaults of the mutant's functions, also where other modules
have imported them. A module-level value is replaced wherever it was imported under its own name.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from enum import EnumType
from fractions import Fraction
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Literal, get_origin

import numpy as np

from tests.mutation.mutants import Mutant

PLAIN = (int, float, str, tuple, Fraction, np.ndarray)
OUR_PACKAGES = ("zoo", "training", "serving", "tests", "benchmarks")


def module_name(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def apply(mutant: Mutant) -> None:
    """Changes the imported module. Raises whatever the mutant raises at its import."""
    live = sys.modules[module_name(mutant.path)]
    fresh = ModuleType(live.__name__)
    fresh.__dict__.update({name: getattr(live, name) for name in ("__package__", "__file__", "__spec__")})
    exec(mutant.code, fresh.__dict__)
    changed = dict(_functions(vars(fresh), live.__name__))
    for name, function in _functions(vars(live), live.__name__):
        other = changed[name]
        if function.__code__ != other.__code__:
            function.__code__ = other.__code__
        if repr((function.__defaults__, function.__kwdefaults__)) != repr((other.__defaults__, other.__kwdefaults__)):
            function.__defaults__, function.__kwdefaults__ = other.__defaults__, other.__kwdefaults__
    for name, value in list(vars(live).items()):
        if not name.startswith("__") and _differs(value, vars(fresh).get(name)):
            _replace_everywhere(name, value, vars(fresh)[name])


def _differs(value: object, other: object) -> bool:
    """Whether a module-level value is another one in the mutant; functions and other classes are changed in place."""
    if isinstance(value, EnumType) and isinstance(other, EnumType):
        return [(name, member.value) for name, member in value.__members__.items()] != [
            (name, member.value) for name, member in other.__members__.items()
        ]
    if get_origin(value) is Literal:
        return value != other
    return isinstance(value, PLAIN) and not np.array_equal(value, other)  # type: ignore[arg-type]


def forget_cached_results(paths: list[Path]) -> None:
    for path in paths:
        for value in vars(sys.modules[module_name(path)]).values():
            if hasattr(value, "cache_clear"):
                value.cache_clear()


def _functions(namespace: Mapping[str, object], module: str, prefix: str = "") -> Iterator[tuple[str, FunctionType]]:
    """The functions and methods that a module defines, without their decorators."""
    for name, value in namespace.items():
        if isinstance(value, type) and value.__module__ == module:
            yield from _functions(vars(value), module, f"{prefix}{name}.")
        value = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
        value = getattr(value, "__wrapped__", value)
        if isinstance(value, FunctionType) and value.__module__ == module:
            yield prefix + name, value


def _replace_everywhere(name: str, old: object, new: object) -> None:
    for module_name, module in list(sys.modules.items()):
        if module_name.split(".")[0] in OUR_PACKAGES and vars(module).get(name) is old:
            setattr(module, name, new)
