r"""The formulas of docstrings, typeset.

A docstring is plain text, for help(): a formula stands in it as an indented block, such as

    g     = dtheta + weight_decay theta
    v     <- momentum v + g              v starts at 0

The site sets such a block by KaTeX, and an equation in a sentence, such as y = f(x). Each line of
a block stays a line. What two or more spaces separate are cells, which begin below each other as
in the text. Nothing is rearranged: a name, a sign and a bracket become the same in LaTeX, in the
same order, so the two say the same.
"""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

__all__ = ["RELATIONS", "cells", "found", "in_sentence", "latex", "setup"]

GREEK = {"Phi", "alpha", "beta", "gamma", "mu", "phi", "pi", "theta"}
FUNCTIONS = {"cos", "exp", "log", "max", "min", "sin", "tanh"}
NAMED = {"mean", "sign", "sum"}  # functions that LaTeX has no word for
SIGNS = {
    "<-": r"\leftarrow ",
    "<=": r"\le ",
    ">=": r"\ge ",
    "!=": r"\ne ",
    "+=": r"\mathrel{+{=}} ",
    "...": r"\ldots ",
    "//": r"\mathbin{/\!/}",
    "<": r"\lt ",
    ">": r"\gt ",
    "{": r"\{",
    "}": r"\}",
    "|": r"\vert ",
    "&": r"\&",
    "%": r"\%",
}
CLOSING = {"(": ")", "{": "}"}
RELATIONS = ("=", "<-", "+=")  # a new cell begins at one that stands below another

_TOKEN = re.compile(
    r"""(?P<space>[ ]+)
    | (?P<literal>`[^`]+` | "[^"]+" | a(?=[ ](?!and|is)[a-z]{3}))  # "a step", no number a
    | (?P<total>sum[ ]over[ ](?:\w,[ ])*\w[ ]of[ ])
    | (?P<number>\d+(?:\.\d+)?)
    | (?P<word>[A-Za-z][A-Za-z0-9]*(?:_[a-z]{3,}|_lr|_decay)+ | [A-Za-z]+\d*(?!\w) | [A-Za-z]+\d*)
    | (?P<low>[_^](?=[\w({-]))
    | (?P<sign><-|<=|>=|!=|\+=|\.\.\.|//|.)""",
    re.VERBOSE,
)
# What a formula in a sentence consists of: names of one letter, numbers, functions and signs.
_PART = re.compile(
    r"""(?P<space>\s+) | (?P<relation>[<>]=?(?!-)|=) | (?P<sign>[-+*/^])
    | (?P<value>\d+(?:\.\d+)?(?![\w.]*\w) | \.\.\. | \|
      | (?:[A-Za-z]\w*(?=\() | log|sin|cos|tanh | d?(?:alpha|beta|gamma|theta|eps|pi|[A-Za-z]))
        \d?(?![A-Za-z0-9]|'[a-z]) (?:_(?:\w{1,2}\b|(?=\()))? '?)
    | (?P<open>[(\[]) | (?P<close>[)\]]) | (?P<comma>,)""",
    re.VERBOSE,
)
_ARTICLE = re.compile(r"a\s(?!and|is)[a-z]{3}")
_BLOCK = re.compile(r" {4}\S")
_SECTION = re.compile(r"-{3,}$|={3,}$")
_PROSE = ("Notes",)  # sections of a docstring that are prose, as what stands above all of them


def word(name: str) -> str:
    r"""Return the LaTeX of a name: a letter, a Greek letter, a function or upright text.

    Examples
    --------
    >>> [word(name) for name in ("x", "beta1", "dtheta", "dW", "lr", "log2")]
    ['x', '\\beta_{1}', 'd\\theta ', 'dW', '\\text{lr}', '\\log_{2}']
    """
    stem = name.rstrip("0123456789")
    index = f"_{{{name[len(stem) :]}}}" if stem != name else ""
    if stem in FUNCTIONS or stem in GREEK:
        return f"\\{stem}{index}" + " " * (not index)
    if stem == "eps":
        return rf"\varepsilon {index}"
    if len(stem) == 1:
        return stem + index
    if stem[0] == "d" and (len(stem) == 2 or stem[1:] in GREEK | {"memory", "prediction"}):
        return "d" + word(name[1:])
    return rf"\text{{{stem.replace('_', chr(92) + '_')}}}{index}"


def closes(text: str, opened: int) -> int:
    """Return where the bracket at `opened` is closed, or -1."""
    depth, end = 0, CLOSING[text[opened]]
    for at in range(opened, len(text)):
        depth += (text[at] == text[opened]) - (text[at] == end)
        if not depth:
            return at
    return -1


def low(text: str, at: int, sign: str) -> tuple[str, int]:
    """Return the LaTeX of what stands after _ or ^, and where it ends."""
    end = closes(text, at) if text[at] in CLOSING else -1
    if end > 0:
        inner, end = text[at + 1 : end], end + 1
    else:
        inner = re.findall(r"-?\w[^\W_]*", text[at:])[0]
        end = at + len(inner)
    short = re.fullmatch(r"[a-z]{1,2}\d?", inner)  # such as the ih of W_ih
    return f"{sign}{{{inner if short else latex(inner)}}}", end


def named(text: str, at: int, name: str) -> tuple[str, int]:
    """Return the LaTeX of a name, with the brackets of a root, and where it ends."""
    after = text[at : at + 1]
    if name == "sqrt" and after == "(" and closes(text, at) > 0:
        end = closes(text, at)
        return rf"\sqrt{{{latex(text[at + 1 : end])}}}", end + 1
    if name in NAMED and after == "_":
        return r"\sum", at
    if name in NAMED and after == "(":
        return rf"\operatorname{{{name}}}", at
    return word(name), at


def pieces(text: str) -> Iterator[tuple[str, str, str]]:
    """Yield the space before each token, its kind and its LaTeX."""
    space, at = "", 0
    while match := _TOKEN.match(text, at):
        kind, token, at = match.lastgroup or "", match[0], match.end()
        if kind == "space":
            space = token
            continue
        piece = token
        if kind == "literal":
            piece = rf"\text{{{token.strip('`')}}}"
        elif kind == "total":
            piece = rf"\sum_{{{token.removeprefix('sum over ').removesuffix(' of ')}}} "
        elif kind == "low":
            piece, at = low(text, at, token)
        elif kind == "word":
            piece, at = named(text, at, token)
        elif kind == "sign":
            piece = SIGNS.get(token, token)
        yield space, kind, piece
        space = ""


def latex(text: str) -> str:
    r"""Return the LaTeX of one cell.

    Examples
    --------
    >>> print(latex("m' / (sqrt(v') + eps)"))
    m' / (\sqrt{v'} + \varepsilon )
    >>> print(latex("sum over i of p_ij (1 - 2^(t - 1))"))
    \sum_{i} p_{ij}\,(1 - 2^{t - 1})
    >>> print(latex("v starts at 0, as a mean"))
    v\ \text{starts}\ \text{at}\ 0,\ \text{as}\ \text{a}\ \text{mean}
    """
    out = ""
    upright = operand = False  # of the last token: whether it is text, and no sign
    last = ""
    for space, kind, piece in pieces(text):
        words = piece.startswith(r"\text")
        if space and out:
            # Two operands side by side, which LaTeX would set without a space.
            beside = operand and (kind != "sign" or piece in {"(", "[", SIGNS["|"]})
            wide = (words and last in {",", ":", ";"}) or (beside and (upright or words))
            out += "\\ " if wide else "\\," * beside or " "
        out += piece
        upright, last = words, piece
        operand = kind != "sign" or piece in {")", "]", "'", SIGNS["|"]}
    return out


def cells(lines: list[str]) -> list[list[tuple[int, str]]]:
    """Return the cells of each line: the number of the column that each begins at, and its text.

    Examples
    --------
    >>> cells(["g    = dx", "beta <- 2 x    x starts at 0"])
    [[(0, 'g'), (1, '= dx')], [(0, 'beta'), (1, '<- 2 x'), (2, 'x starts at 0')]]
    """
    rows = [[(m.start(), m[0]) for m in re.finditer(r"\S+(?: \S+)*", line)] for line in lines]
    starts = {start for row in rows for start, _ in row}
    split = []
    for row in rows:
        cut: list[tuple[int, str]] = []
        for start, text in row:
            parts = [start]
            for at in sorted(starts):
                here = text[at - start :] if start < at < start + len(text) else ""
                if here.startswith(RELATIONS) and text[at - start - 1] == " ":
                    parts.append(at)
            ends = [*parts[1:], start + len(text)]
            cut += [
                (a, text[a - start : b - start].rstrip()) for a, b in zip(parts, ends, strict=True)
            ]
        split.append(cut)
    columns = sorted({start for row in split for start, _ in row})
    return [[(columns.index(start), text) for start, text in row] for row in split]


def found(lines: list[str]) -> Iterator[str]:
    r"""Yield a docstring with each indented block of its prose as a directive.

    Examples
    --------
    >>> print(*found(["With z::", "", "    z = w x", "    y = z", "", "and so on."]), sep="\n")
    With z:
    <BLANKLINE>
    .. formulas::
    <BLANKLINE>
        z = w x
        y = z
    <BLANKLINE>
    and so on.
    """
    prose = True
    inside = False
    for at, line in enumerate(lines):
        if at + 1 < len(lines) and _SECTION.match(lines[at + 1]):
            prose = line in _PROSE
        alone = at > 0 and not lines[at - 1].strip()
        if prose and not inside and alone and _BLOCK.match(line):
            yield from (".. formulas::", "")
            inside = True
        if line.strip() and not line.startswith("    "):
            inside = False
        if prose and line.endswith("::"):  # of a literal block
            yield line.removesuffix("::") + ":" * (line != "::")
        else:
            yield line


def run(text: str, start: int) -> tuple[int, bool]:
    """Return where what may be a formula ends, and whether it is a whole one with a relation."""
    at = end = start
    depth = 0
    relation = dangling = False
    while (match := _PART.match(text, at)) and not _ARTICLE.match(text, at):
        kind = match.lastgroup
        depth += (kind == "open") - (kind == "close")
        if depth < 0 or (kind == "comma" and not depth):
            break
        relation = relation or (kind == "relation" and at > start)
        at = match.end()
        if kind != "space":
            dangling = kind in {"relation", "sign"}
            end = at
    whole = relation and not dangling and depth == 0 and text[start:end].count("|") % 2 == 0
    # A number more would be one of a list: t = 1, 2, ...
    return end, whole and not re.match(r"\w|,\s(?:\d|\.\.)", text[end:])


def in_sentence(text: str) -> list[str]:
    """Return a text in pieces: every second one is a formula, such as y = f(x).

    Examples
    --------
    >>> in_sentence("y = x W' + b, so dx = dy W where n = rows - 1 > 0, a row each")
    ['', "y = x W' + b", ', so ', 'dx = dy W', ' where n = rows - 1 > 0, a row each']
    """
    pieces, at, done = [], 0, 0
    for word in re.finditer(r"(?<![^\s(])(?<![-+*/=<>]\s)(-(?=\w)|[\w|(])", text):
        if word.start() >= at:
            end, whole = run(text, word.start())
            if whole:
                pieces += [text[done : word.start()], text[word.start() : end]]
                done = end
            at = end
    return [*pieces, text[done:]]


def change(*event: Any) -> None:
    """Change the lines that Sphinx hands over. An indented block of a module is code."""
    if event[1] != "module":
        event[-1][:] = found(event[-1])


def setup(app: "Sphinx") -> dict[str, bool]:
    """Tell Sphinx; site_docstrings then leaves the lines of a formula as they are."""
    app.setup_extension("sphinx.ext.autodoc")
    app.setup_extension("katex_math")  # has the directive
    app.connect("autodoc-process-docstring", change, priority=90)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
