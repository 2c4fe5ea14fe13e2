"""Values of expressions, without ``eval``: what workflows of containers need, and a refusal of the rest.

Comparison, arithmetic, ``contains``, choices and a few functions. Closures, ``matches``, ``sprig`` and
whatever else a tree may hold is named by ``unsupported``, so that it is refused before anything runs
instead of answered wrongly.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Callable, Iterator, Mapping

from pipelines.workflow.expressions import (
    BadExpression,
    Call,
    Group,
    Literal,
    Member,
    Name,
    Node,
    Operation,
    parse,
    walk,
)


def _int(value: object) -> int:
    if isinstance(value, float):
        return int(value)
    if isinstance(value, int | str) and not isinstance(value, bool):
        try:
            return int(value)
        except ValueError:
            pass
    raise BadExpression(f"{value!r} is no whole number")


def _float(value: object) -> float:
    if isinstance(value, int | float | str) and not isinstance(value, bool):
        try:
            return float(value)
        except ValueError:
            pass
    raise BadExpression(f"{value!r} is no number")


def _string(value: object) -> str:
    if isinstance(value, str):
        return value
    return _json(value)


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _length(value: object) -> int:
    if isinstance(value, str | list | dict):
        return len(value)
    raise BadExpression(f"{value!r} has no length")


def _on_text(change: Callable[[str], object]) -> Callable[[object], object]:
    def inner(value: object) -> object:
        if not isinstance(value, str):
            raise BadExpression(f"{value!r} is no text")
        return change(value)

    return inner


_FUNCTIONS: Mapping[str, Callable[[object], object]] = {
    "asInt": _int,
    "int": _int,
    "asFloat": _float,
    "float": _float,
    "string": _string,
    "toJson": _json,
    "toJSON": _json,
    "len": _length,
    "lower": _on_text(str.lower),
    "upper": _on_text(str.upper),
    "trim": _on_text(str.strip),
}

_NUMBERS: Mapping[str, Callable[[float, float], object]] = {
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "%": operator.mod,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_TEXTS: Mapping[str, Callable[[str, str], object]] = {
    "contains": lambda left, right: right in left,
    "startsWith": str.startswith,
    "endsWith": str.endswith,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_LOGIC = {"&&", "and", "||", "or", "!", "?:", "??"}
_SAME = {"==", "!=", "in", "not in", "+"}


def unsupported(node: Node) -> Iterator[str]:
    """What a tree holds that is read but not evaluated here, in words."""
    for one in walk(node):
        match one:
            case Operation(sign, _) if sign not in {*_NUMBERS, *_TEXTS, *_LOGIC, *_SAME}:
                yield f"the operator {sign}"
            case Call(Name(text), arguments) if text not in _FUNCTIONS or len(arguments) != 1:
                yield f"the function {text}"
            case Call(function, _) if not isinstance(function, Name):
                yield "a function of a value"
            case Group(kind, _) if kind != "list":
                yield f"a {kind}"


def evaluate(text: str, variables: Mapping[str, object]) -> object:
    """The value of an expression over variables with dotted names, which are texts or, for an event, JSON.

    Raises:
        BadExpression: it cannot be read, names nothing that is there, or mixes types.
    """
    tree = parse(text)
    for what in unsupported(tree):
        raise BadExpression(f"uses {what}, which is not evaluated here")
    try:
        return _value(tree, nested(variables))
    except (TypeError, ZeroDivisionError, OverflowError) as error:
        raise BadExpression(f"cannot be evaluated: {error}") from None


def is_true(text: str, variables: Mapping[str, object]) -> bool:
    """Whether an expression holds.

    Raises:
        BadExpression: as :func:`evaluate`, and when its value is neither true nor false.
    """
    value = evaluate(text, variables)
    if not isinstance(value, bool):
        raise BadExpression(f"gives {value!r}, neither true nor false")
    return value


def nested(variables: Mapping[str, object]) -> dict[str, object]:
    """Dotted names as maps in maps; where a name is also the beginning of another, the map stays."""
    root: dict[str, object] = {}
    for name in sorted(variables, key=lambda one: one.count("."), reverse=True):
        *way, last = name.split(".")
        here = root
        for part in way:
            below = here.setdefault(part, {})
            if not isinstance(below, dict):
                break
            here = below
        else:
            here.setdefault(last, variables[name])
    return root


def _value(node: Node, env: Mapping[str, object]) -> object:
    match node:
        case Literal(value):
            return value
        case Name(text):
            if text not in env:
                raise BadExpression(f"there is no {text}")
            return env[text]
        case Member(of, key):
            return _member(_value(of, env), _value(key, env))
        case Call(Name(text), (argument,)):
            return _FUNCTIONS[text](_value(argument, env))
        case Group(_, items):
            return [_value(one, env) for one in items]
        case Operation(sign, operands):
            return _operation(sign, operands, env)
    raise BadExpression("cannot be evaluated")


def _member(of: object, key: object) -> object:
    if of is None:
        raise BadExpression(f"nothing has a {key}")
    if isinstance(of, dict) and isinstance(key, str):
        return of.get(key)
    if isinstance(of, list | str) and isinstance(key, int) and -len(of) <= key < len(of):
        return of[key]
    raise BadExpression(f"{of!r} has no {key!r}")


def _operation(sign: str, operands: tuple[Node, ...], env: Mapping[str, object]) -> object:
    first = _value(operands[0], env)
    if sign == "??":
        return _value(operands[1], env) if first is None else first
    if sign == "?:":
        return _value(operands[1 if _truth(first) else 2], env)
    if sign in ("&&", "and"):
        return _truth(first) and _truth(_value(operands[1], env))
    if sign in ("||", "or"):
        return _truth(first) or _truth(_value(operands[1], env))
    if len(operands) == 1:
        if sign == "!":
            return not _truth(first)
        return _arithmetic(sign, 0, first) if sign == "-" else first
    return _binary(sign, first, _value(operands[1], env))


def _truth(value: object) -> bool:
    if not isinstance(value, bool):
        raise BadExpression(f"{value!r} is neither true nor false")
    return value


def _binary(sign: str, left: object, right: object) -> object:
    if sign in ("==", "!="):
        return _same(left, right) == (sign == "==")
    if sign in ("in", "not in"):
        if not isinstance(right, list | dict):
            raise BadExpression(f"{right!r} is no list")
        return any(_same(left, one) for one in right) == (sign == "in")
    if isinstance(left, str) and isinstance(right, str):
        if sign == "+":
            return left + right
        if sign in _TEXTS:
            return _TEXTS[sign](left, right)
    return _arithmetic(sign, left, right)


def _same(left: object, right: object) -> bool:
    """Equal, where the text "1", the number 1 and true are three different things."""
    kinds = [bool if isinstance(one, bool) else float if isinstance(one, int | float) else type(one)
             for one in (left, right)]  # fmt: skip
    return kinds[0] is kinds[1] and left == right


def _arithmetic(sign: str, left: object, right: object) -> object:
    numbers = [one for one in (left, right) if isinstance(one, int | float) and not isinstance(one, bool)]
    if len(numbers) != 2 or (sign != "+" and sign not in _NUMBERS):
        raise BadExpression(f"{left!r} {sign} {right!r} makes no sense")
    return numbers[0] + numbers[1] if sign == "+" else _NUMBERS[sign](*numbers)
