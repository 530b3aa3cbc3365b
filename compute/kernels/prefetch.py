"""Kernel: addresses: ask for a cache line before it is needed; a number as a pointer.

Where rows are drawn at random from more memory than the cache holds, most of an event's time is
waiting for its row. A hint that is too late, too early or of no memory at all costs a slot and
changes no result.
"""

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

_READ_SOON = (0, 3, 1)  # For reading (a write is faster with it too), into every level, data.


@intrinsic
def prefetch(_context, address):
    """The cache line at `address` (integer), by LLVM's `llvm.prefetch`."""

    def code(_target, builder, _signature, arguments):
        ir = cgutils.ir
        pointer, word = ir.IntType(8).as_pointer(), ir.IntType(32)
        shape = ir.FunctionType(ir.VoidType(), [pointer, word, word, word])
        hint = builder.module.declare_intrinsic("llvm.prefetch", [pointer], shape)
        place = builder.inttoptr(arguments[0], pointer)
        builder.call(hint, [place, *(word(value) for value in _READ_SOON)])
        return ir.Constant(word, 0)

    return types.int32(address), code


@intrinsic
def pointer(_context, address):
    """An address (integer) as a pointer, for `numba.carray`."""

    def code(_target, builder, _signature, arguments):
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(address), code
