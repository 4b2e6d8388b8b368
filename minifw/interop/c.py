"""C: a model as one C99 file and its header, for programs without Python.

It needs the extra ``minifw[c]``: the model is written to ONNX, and that to C by emx-onnx-cgen.
"""

import math
import os
import re
from pathlib import Path
from typing import Any

import numpy as np

from minifw._engine.composition import required
from minifw._tools.extras import needs
from minifw.core.layer import Layer
from minifw.interop.onnx._export import described
from minifw.storage._atomic import path_of, replacing
from minifw.typing import Shape

__all__ = ["export"]

KEYWORDS = (
    "auto|break|case|char|const|continue|default|do|double|else|enum|extern|float|for|goto|if|"
    "inline|int|long|main|register|restrict|return|short|signed|sizeof|static|struct|switch|"
    "typedef|union|unsigned|void|volatile|while"
)

HEADER = """\
/* Made by minifw {version}. */
#ifndef {guard}_H
#define {guard}_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {{
#endif

#define {guard}_INPUTS {inputs} /* x: {x_shape}, row by row */
#define {guard}_OUTPUTS {outputs} /* y: {y_shape}, row by row */

/* Writes the prediction for one example x into y, another array. Many threads may call it. */
void {name}(const {x_type} x[{inputs}], {y_type} y[{outputs}]);

#ifdef __cplusplus
}}
#endif

#endif
"""

ENTRY = """
void {name}(const {x_type} x[{inputs}], {y_type} y[{outputs}]) {{
    {name}_graph((const {x_type} (*){x_axes})x, ({y_type} (*){y_axes})y);
}}
"""


def export(
    model: Layer,
    path: str | os.PathLike[str],
    *,
    input_shape: Shape | None = None,
    name: str | None = None,
    dtype: object = np.float32,
) -> None:
    """Write what a model computes in eval mode as a C99 file, with a header beside it.

    For ``net.c`` the header is ``net.h``. It declares one function, ``net(x, y)``, which writes
    the prediction for one example x into y. The file needs nothing but the C library's ``math.h``
    and ``string.h``; it holds the numbers of the model, allocates no memory and keeps no state.

    Parameters
    ----------
    model : Layer
        Any model that `minifw.interop.onnx.export` takes. It is not changed, and its mode does
        not matter.
    path : str or os.PathLike
        Of the C file, which ends in ``.c``. Each old file is replaced in one step.
    input_shape : tuple of int, optional
        The shape of one example, without the batch. Needed where the first layer accepts
        several, as `Conv2D` and `LSTM` do.
    name : str, optional
        What the function is called; by default as the file, without ``.c``. It is the only name
        that a linker sees, so several models go into one program.
    dtype : float32 or float64, default float32
        In which the function computes. x is ``int64_t`` where the model takes whole numbers.

    Raises
    ------
    TypeError, ValueError
        As `minifw.interop.onnx.export` does; if `path` does not end in ``.c``, or `name` is not a
        name in C; if the generator has no C for an operator, which an author's own function may
        have written: the message names the layer.
    ImportError
        Without the extra ``minifw[c]``.
    OSError
        If a file cannot be written; its old one is untouched.

    Notes
    -----
    C raises no errors. A number that an `Embedding` has no row for is taken as the nearest one
    that it has, so nothing is read beyond the table.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from minifw import Dense, Sequential, Tanh
    >>> from minifw.interop import c
    >>> model = Sequential(Dense(2, 4, rng=3), Tanh())
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     c.export(model, pathlib.Path(folder, "net.c"))
    ...     print(pathlib.Path(folder, "net.h").read_text().splitlines()[14])
    void net(const float x[2], float y[4]);
    """
    with needs("export", "emx-onnx-cgen", "c"):
        from emx_onnx_cgen import Compiler  # noqa: PLC0415 - optional
        from emx_onnx_cgen.compiler import CompilerOptions  # noqa: PLC0415 - optional
        from emx_onnx_cgen.errors import CompilerError  # noqa: PLC0415 - optional
    goal = Path(path_of("export", path))
    if goal.suffix != ".c":
        raise ValueError(f"export expects a path that ends in .c, got {str(goal)!r}")
    name = goal.stem if name is None else name
    if not isinstance(name, str) or not re.fullmatch("[A-Za-z][A-Za-z0-9_]*", name, re.ASCII):
        raise ValueError(f"export: {name!r} is no name of a function in C; give another name=...")
    if re.fullmatch(KEYWORDS, name):
        raise ValueError(f"export: {name!r} is a word of C; give another name=...")
    if isinstance(model, Layer) and ((required(model) or 1) > 1 or len(model.output_names) > 1):
        raise ValueError(
            f"export: the function in C has one input and one output, {type(model).__name__} has "
            f"{model.input_names} and {model.output_names}; write it with minifw.interop.onnx"
        )
    proto = described(model, input_shape, ("x", "y"), dtype, 1)
    _bound_indices(proto)
    del proto.metadata_props[:]  # the layers' arguments, which would stand in a comment
    options = CompilerOptions(
        model_name=f"{name}_graph",
        restrict_arrays=False,  # the C of other compilers and of C++ lacks it; no slower here
        large_temp_threshold_bytes=0,  # on the stack, not on the heap
        large_weight_threshold=0,  # in the C file, not in one beside it
    )
    try:
        source = Compiler(options).compile(proto)
    except CompilerError as error:
        nodes = (node.name for node in proto.graph.node if node.op_type in str(error))
        place = next(nodes, "").rpartition("/")[0]
        raise ValueError(
            f"export: emx-onnx-cgen has no C for layer {place or 'at the top'}, "
            f"{dict(model._all_layers()).get(place, model)!r} ({error}); write it by other "
            "operators, with minifw.interop.onnx.register"
        ) from error
    facts = _facts(proto, name)
    # Only the function's name is seen outside; an unused helper is not a warning.
    source = re.sub(r"(?m)^(extern )?(?=const |void |_Bool )", "static EMX_UNUSED ", source)
    source = re.sub(r"(?m)^static inline ", "static inline EMX_UNUSED ", source)
    with replacing(str(goal)) as file:
        file.write(f'#include "{goal.stem}.h"\n\n{source}{ENTRY.format(**facts)}'.encode())
    with replacing(str(goal.with_suffix(".h"))) as file:
        file.write(HEADER.format(**facts).encode())


def _facts(proto: Any, name: str) -> dict[str, object]:
    """Return what the header and the function say of x and y."""
    types = {1: "float", 7: "int64_t", 11: "double"}  # by ONNX's numbers of them
    facts: dict[str, object] = {"name": name, "guard": name.upper()}
    facts["version"] = proto.producer_version
    (x,), (y,) = proto.graph.input, proto.graph.output
    for letter, count, value in (("x", "inputs", x), ("y", "outputs", y)):
        tensor = value.type.tensor_type
        _, *shape = [axis.dim_value for axis in tensor.shape.dim]
        facts[f"{letter}_type"] = types[tensor.elem_type]
        facts[f"{letter}_shape"] = tuple(shape)
        facts[f"{letter}_axes"] = "".join(f"[{size}]" for size in shape)
        facts[count] = math.prod(shape)
    return facts


def _bound_indices(proto: Any) -> None:
    """Put a Clip before each Gather from a table by numbers that are computed or given."""
    import onnx  # noqa: PLC0415 - optional

    graph = proto.graph
    tables = {table.name: table.dims for table in graph.initializer}
    for place, node in reversed(list(enumerate(graph.node))):
        if node.op_type == "Gather" and node.input[0] in tables and node.input[1] not in tables:
            name = f"{node.name}:row"
            last = onnx.helper.make_tensor(f"{name}:last", 7, (), [tables[node.input[0]][0] - 1])
            first = onnx.helper.make_tensor(f"{name}:first", 7, (), [0])
            graph.initializer.extend([first, last])
            clip = [node.input[1], first.name, last.name]
            graph.node.insert(place, onnx.helper.make_node("Clip", clip, [name], name))
            node.input[1] = name
