"""Whether tuples nest too deeply in a pickle, found without loading it.

Hashing a tuple recurses in C, so that a deep one as a key of a dictionary overflows the stack and
ends the process: torch's restricted loader does not stop it.
"""

from __future__ import annotations

import pickletools
from typing import IO, Any

__all__ = ["has_deep_tuples"]


def has_deep_tuples(pickled: bytes | IO[bytes], most: int) -> bool:
    """Tell whether more than `most` tuples are in one another in the pickle that begins here.

    Args:
        pickled: a pickle, or a binary file positioned at one; if the answer is no, the file is left
            behind it.
        most: the number of levels to allow; the empty tuple is no level.

    Raises:
        ValueError, IndexError, KeyError: it is no pickle, or a damaged one.
    """
    stack: list[int] = []  # for each value, how many tuples are in one another there
    marks: list[int] = []
    memo: dict[int, int] = {}
    argument: Any
    for opcode, argument, _ in pickletools.genops(pickled):
        match opcode.name:
            case "MARK":
                marks.append(len(stack))
            case "PUT" | "BINPUT" | "LONG_BINPUT":
                memo[argument] = stack[-1]
            case "MEMOIZE":
                memo[len(memo)] = stack[-1]
            case "GET" | "BINGET" | "LONG_BINGET":
                stack.append(memo[argument])
            case name:
                taken = opcode.stack_before
                to_mark = pickletools.markobject in taken
                start = marks.pop() if to_mark else len(stack)
                start -= taken.index(pickletools.markobject) if to_mark else len(taken)
                depth = max(stack[start:], default=0) + name.startswith("TUPLE")
                if depth > most:
                    return True
                stack[start:] = [depth] * len(opcode.stack_after)
    return False
