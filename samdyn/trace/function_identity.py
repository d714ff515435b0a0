"""What a function reads besides its arguments, as one hash; or None where that cannot be known.

A trace reads once what its function captures. It may stand for the function later only if nothing of that has
changed, and Python lets a function read anything: the weights of a module, attributes of objects and classes,
environment variables. `fingerprint` therefore walks through code, default values, closures and the globals
that the code names, and knows a closed list of kinds:

1. numbers, strings, tuples, lists, dicts, arrays and tensors count by their values;
2. Python functions count by their code and by all that they capture, to any depth, and `functools.partial`
   by its parts;
3. functions and classes of torch, numpy and the standard mathematics are taken to be fixed; rules, noise
   models and other objects of samdyn count by their attributes;
4. torch's default dtype and device, which decide what ``torch.tensor(0.1)`` is, count as well.

Anything else is a doubt, and the answer is None: the caller then traces anew. So equal fingerprints are
evidence that a function is the same one, while None says nothing.
"""

from __future__ import annotations

import builtins
import dis
import enum
import functools
import hashlib
import sys
import types
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

__all__ = ["fingerprint"]

FIXED = frozenset({"torch", "numpy", "math", "cmath", "operator", "functools", "itertools", "typing"})
"""Packages whose functions and classes do not change while a session runs."""
OWN = "samdyn"
PLAIN = (
    type(None), bool, int, float, complex, str, bytes, type(...), slice, range, torch.dtype, torch.device,
    torch.Size,
)  # fmt: skip
READS_NOTHING = frozenset(
    {
        "abs", "all", "any", "bool", "complex", "dict", "divmod", "enumerate", "filter", "float", "frozenset",
        "int", "isinstance", "issubclass", "len", "list", "map", "max", "min", "object", "pow", "property",
        "range", "reversed", "round", "set", "slice", "sorted", "str", "sum", "super", "tuple", "type", "zip",
    }
)  # fmt: skip
"""Built-in functions that read nothing but their arguments."""


class _Unknown(Exception):
    """A kind of object whose state cannot be read completely."""


def fingerprint(*values: Any) -> str | None:
    """A hash of everything that functions and values depend on, or None where that cannot be known.

    Parameters
    ----------
    *values : object
        Functions, numbers, arrays, rules, noise models, and containers of such.

    Returns
    -------
    str or None
        Equal strings only for values that are equal in all that was looked at.

    Examples
    --------
    >>> scale = [2.0]
    >>> def loss(w):
    ...     return scale[0] * w @ w
    >>> before = fingerprint(loss)
    >>> scale[0] = 3.0
    >>> fingerprint(loss) == before
    False
    """
    walk = _Walk()
    try:
        walk.add((str(torch.get_default_dtype()), str(torch.get_default_device()), values))
    except (_Unknown, RecursionError):
        return None
    return walk.digest.hexdigest()


class _Walk:
    """One walk through values; an object that is met again is told by the number of its first visit."""

    def __init__(self) -> None:
        self.digest = hashlib.sha256()
        self.met: dict[int, int] = {}
        self.held: list[Any] = []  # so that no id is given to another object meanwhile

    def say(self, *words: object) -> None:
        self.digest.update("\0".join(map(str, (*words, ""))).encode(errors="surrogatepass"))

    def add(self, value: Any) -> None:
        kind = type(value)
        if kind in PLAIN:
            self.say(kind.__name__, repr(value))
            return
        if id(value) in self.met:
            self.say("again", self.met[id(value)])
            return
        self.met[id(value)] = len(self.met)
        self.held.append(value)
        if kind in (tuple, list) or (isinstance(value, tuple) and _package(kind) == OWN):
            self.say(kind.__name__, len(value))
            for part in value:
                self.add(part)
        elif kind in (dict, types.MappingProxyType):
            self.say(kind.__name__, len(value))
            for key, part in value.items():
                self.add(key)
                self.add(part)
        elif kind is torch.Tensor or kind is torch.nn.Parameter:
            self._tensor(value)
        elif kind is np.ndarray or (isinstance(value, np.generic) and not isinstance(value, np.object_)):
            self._array(np.asarray(value))
        elif kind is types.FunctionType:
            self._function(value)
        elif kind is functools.partial:
            self.say("partial")
            self.add((value.func, value.args, value.keywords))
        elif kind is types.MethodType:
            self.say("method")
            self.add((value.__func__, value.__self__))
        elif kind in (classmethod, staticmethod):
            self.add(value.__func__)
        elif isinstance(value, enum.Enum) and _package(kind) in (*FIXED, OWN):
            self.say(str(value))
        elif self._is_fixed(value):
            self.say(kind.__name__, getattr(value, "__module__", ""), _name(value))
        elif _package(kind) == OWN and isinstance(_attributes_of(value), dict):
            self.say(kind.__module__, kind.__qualname__)
            self.add(_attributes_of(value))
        else:
            raise _Unknown(kind)

    def _tensor(self, value: torch.Tensor) -> None:
        if value.device.type == "meta" or value.is_sparse or value.is_quantized:
            raise _Unknown(value)
        self.say("tensor", value.dtype, tuple(value.shape), value.device)
        try:
            raw = value.detach().cpu().resolve_conj().resolve_neg().contiguous().reshape(-1)
            self.digest.update(raw.view(torch.uint8).numpy().tobytes())
        except (RuntimeError, TypeError) as error:  # a tensor inside a transform of torch.func
            raise _Unknown(value) from error

    def _array(self, value: np.ndarray[Any, Any]) -> None:
        if value.dtype.hasobject:
            raise _Unknown(value)
        self.say("array", value.dtype, value.shape)
        self.digest.update(np.ascontiguousarray(value).tobytes())

    def _is_fixed(self, value: Any) -> bool:
        if isinstance(value, types.ModuleType):
            return value.__name__.split(".")[0] in (*FIXED, OWN)
        if isinstance(value, type):
            return _package(value) in (*FIXED, OWN) or (
                value.__module__ == "builtins" and value.__name__ in READS_NOTHING
            )
        if isinstance(value, np.ufunc):
            return True
        if isinstance(
            value, types.BuiltinFunctionType | types.MethodDescriptorType | types.WrapperDescriptorType
        ):
            owner = getattr(value, "__self__", None)
            if owner is builtins:
                return value.__name__ in READS_NOTHING
            # a bound method of an object (a list's `append`, a variable's `get`) reads that object
            return owner is None or isinstance(owner, types.ModuleType | type)
        return (
            type(value).__module__.split(".")[0] == "torch"
            and callable(value)
            and not hasattr(value, "__dict__")
        )

    def _function(self, function: types.FunctionType) -> None:
        # a decorator's wrapper says that it is of the module of what it wraps; its globals tell where it is
        # from
        home = str(function.__globals__.get("__name__", function.__module__))
        package = home.split(".")[0]
        self.say("function", home, function.__module__, function.__qualname__)
        own_globals = vars(sys.modules[home]) if home in sys.modules else None
        fixed = package in (*FIXED, OWN) and function.__globals__ is own_globals
        if fixed and package != OWN and not function.__closure__:
            return
        self.add((function.__defaults__, function.__kwdefaults__, function.__dict__))
        self._code(function.__code__)
        for cell in function.__closure__ or ():
            try:
                content = cell.cell_contents
            except ValueError:  # not filled yet
                self.say("an empty cell")
                continue
            self.add(content)
        if not fixed:
            self._globals(function)

    def _globals(self, function: types.FunctionType) -> None:
        names = sorted(set(_names(function.__code__)))
        for name in names:
            if name in function.__globals__:
                value = function.__globals__[name]
                self.say("global", name)
                self.add(value)
                if isinstance(value, types.ModuleType):
                    self._attributes(value, names)
            elif hasattr(builtins, name) and name not in READS_NOTHING and name not in TENSOR_METHODS:
                raise _Unknown(name)

    def _attributes(self, module: types.ModuleType, names: list[str]) -> None:
        """Numbers and functions of a session's own that somebody has put into a module."""
        for name in names:
            value = vars(module).get(name)
            if isinstance(value, (torch.Tensor, np.ndarray, types.FunctionType, *PLAIN)):
                self.say("attribute", name)
                self.add(value)

    def _code(self, code: types.CodeType) -> None:
        self.say("code", code.co_names, code.co_varnames, code.co_freevars, code.co_flags)
        self.digest.update(code.co_code)
        for constant in code.co_consts:
            if isinstance(constant, types.CodeType):
                self._code(constant)
            else:
                self.say("constant", type(constant).__name__, repr(constant))
        for instruction in dis.get_instructions(code):
            if instruction.opname == "IMPORT_NAME" and str(instruction.argval).split(".")[0] not in FIXED:
                raise _Unknown(instruction.argval)


TENSOR_METHODS = frozenset(name for name in dir(torch.Tensor) if not name.startswith("__"))
"""Names that code also has for attributes: ``w.abs()`` reads no built-in function."""


def _attributes_of(value: Any) -> dict[str, Any] | None:
    """The attributes of an object that has all of them in its dict."""
    if any(getattr(kind, "__slots__", ()) for kind in type(value).__mro__):
        return None
    return getattr(value, "__dict__", None)


def _package(kind: type) -> str:
    return kind.__module__.split(".")[0]


def _name(value: Any) -> str:
    return str(getattr(value, "__qualname__", getattr(value, "__name__", "")))


def _names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            yield from _names(inner)
