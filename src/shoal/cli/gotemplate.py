"""Go templates, as far as ``--format`` needs them: fields, variables, pipelines, if, with, range, functions.

Source: the documentation of Go's ``text/template``. Templates run on what JSON gives (dicts, lists, scalars) and on
records, whose fields are computed. Unlike Go there are no types: a field is looked up by its JSON name, and where only
the case differs (``.ID`` for ``Id``) that is found too.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Protocol

from shoal.cli.gofunctions import FUNCTIONS, NOTHING, NoFieldError, TemplateError, as_text, lookup, truth

SPACE = " \t\r\n"
WORD = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789")
ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", '"': '"', "'": "'"}


class Token(NamedTuple):
    """A piece of an action: ``kind`` is text, word, field, variable, number, string, punctuation."""

    kind: str
    text: str
    position: int
    spaced: bool


class Term(NamedTuple):
    """A value: a literal, a variable, the dot, a function's name or a pipeline in parentheses; then its fields."""

    kind: str
    value: Any
    fields: tuple[str, ...]
    position: int
    source: str


class Pipeline(NamedTuple):
    """Commands joined by ``|``, and the variables that take the result."""

    commands: tuple[tuple[Term, ...], ...]
    declared: tuple[str, ...]
    assigns: bool


class Node(NamedTuple):
    """Text, an action, or a block: if, with, range, with its body and its else."""

    kind: str
    text: str
    pipeline: Pipeline | None
    body: tuple["Node", ...] = ()
    otherwise: tuple["Node", ...] = ()


class Scope(Protocol):
    """The variables in sight."""

    def __getitem__(self, name: str, /) -> Any: ...


class Template:
    """A parsed template."""

    def __init__(self, source: str) -> None:
        self.source = source
        parser = _Parser(source)
        self.nodes = parser.nodes
        self.fields = parser.fields

    def render(self, data: Any) -> str:
        """The template's text for ``data``. Raises TemplateError."""
        pieces: list[str] = []
        self._run(self.nodes, data, {"$": data}, pieces)
        return "".join(pieces)

    def _run(self, nodes: tuple[Node, ...], dot: Any, scope: dict[str, Any], out: list[str]) -> None:
        for node in nodes:
            if node.pipeline is None:
                out.append(node.text)
                continue
            if node.kind == "range":
                self._range(node, dot, scope, out)
                continue
            inner = scope if node.kind == "action" else dict(scope)
            value = self._pipeline(node.pipeline, dot, inner)
            if node.kind == "action":
                if not node.pipeline.declared:
                    out.append(as_text(value))
            elif truth(value):
                self._run(node.body, value if node.kind == "with" else dot, inner, out)
            else:
                self._run(node.otherwise, dot, inner, out)

    def _range(self, node: Node, dot: Any, scope: dict[str, Any], out: list[str]) -> None:
        assert node.pipeline is not None
        value = self._evaluate(node.pipeline, dot, scope)
        pairs = list(_pairs(value))
        for key, item in pairs:
            inner = dict(scope)
            names = node.pipeline.declared
            if names:
                inner[names[-1]] = item
            if len(names) == 2:
                inner[names[0]] = key
            self._run(node.body, item, inner, out)
        if not pairs:
            self._run(node.otherwise, dot, dict(scope), out)

    def _pipeline(self, pipeline: Pipeline, dot: Any, scope: dict[str, Any]) -> Any:
        value = self._evaluate(pipeline, dot, scope)
        for name in pipeline.declared:
            scope[name] = value
        return value

    def _evaluate(self, pipeline: Pipeline, dot: Any, scope: Mapping[str, Any]) -> Any:
        value: Any = NOTHING
        for command in pipeline.commands:
            value = self._command(command, dot, scope, () if value is NOTHING else (value,))
        return value

    def _command(self, command: tuple[Term, ...], dot: Any, scope: Mapping[str, Any], piped: tuple[Any, ...]) -> Any:
        first, *rest = command
        if first.kind != "function":
            value = self._term(first, dot, scope)
            if callable(value):
                return value(*(self._term(term, dot, scope) for term in rest), *piped)
            if rest or piped:
                raise self._error(first, f"can't give argument to non-function {first.source}")
            return value
        if first.value in ("and", "or"):
            for term in rest:
                value = self._term(term, dot, scope)
                if truth(value) == (first.value == "or"):
                    return value
            return piped[0] if piped else value
        values = [self._term(term, dot, scope) for term in rest]
        return self._call(first, [*values, *piped])

    def _call(self, term: Term, values: list[Any]) -> Any:
        try:
            value = FUNCTIONS[term.value](*values)
        except TemplateError as error:
            raise self._error(term, f"error calling {term.value}: {error}") from error
        except TypeError as error:
            raise self._error(term, f"wrong number or type of args for {term.value}") from error
        return self._fields(term, value)

    def _term(self, term: Term, dot: Any, scope: Mapping[str, Any]) -> Any:
        match term.kind:
            case "literal":
                return term.value
            case "dot":
                return self._fields(term, dot)
            case "variable":
                return self._fields(term, scope[term.value])
            case "group":
                return self._fields(term, self._evaluate(term.value, dot, scope))
            case _:
                return self._call(term, [])

    def _fields(self, term: Term, value: Any) -> Any:
        for name in term.fields:
            try:
                value = lookup(value, name)
            except NoFieldError as error:
                raise self._error(term, str(error)) from error
        return value

    def _error(self, term: Term, message: str) -> TemplateError:
        before = self.source[: term.position]
        line = before.count("\n") + 1
        column = term.position - (before.rfind("\n") + 1)
        return TemplateError(f'template: :{line}:{column}: executing "" at <{term.source}>: {message}')


def _pairs(value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, Mapping):
        yield from sorted(value.items())
    elif isinstance(value, list):
        yield from enumerate(value)
    elif isinstance(value, int) and not isinstance(value, bool):
        yield from ((number, number) for number in range(value))
    elif value is not None:
        raise TemplateError(f"range can't iterate over {as_text(value)}")


class _Parser:
    """Source to nodes. Errors carry the line, as Go's do."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._pieces = list(self._cut())
        self._variables = {"$"}
        self.fields: list[str] = []
        self.nodes, end = self._nodes(frozenset())
        if end:
            raise self._fail(f"unexpected {{{{{end}}}}}")

    def _fail(self, message: str) -> TemplateError:
        return TemplateError(f"template: :1: {message}")

    def _cut(self) -> Iterator[tuple[str, list[Token]]]:
        """Alternately text (with no tokens) and actions (with no text)."""
        position, source, trim = 0, self._source, False
        while True:
            start = source.find("{{", position)
            text = source[position:] if start < 0 else source[position:start]
            if trim:
                text = text.lstrip(SPACE)
            if start < 0:
                yield text, []
                return
            inside = start + 2
            if source[inside : inside + 1] == "-" and source[inside + 1 : inside + 2] in tuple(SPACE):
                text, inside = text.rstrip(SPACE), inside + 1
            yield text, []
            if source[inside:].lstrip().startswith("/*"):
                end = source.find("*/", inside)
                close = source.find("}}", end)
                if end < 0 or close < 0:
                    raise self._fail("unclosed comment")
                trim, position = source[end + 2 : close].strip() == "-", close + 2
                continue
            tokens, position, trim = self._lex(inside)
            yield "", tokens

    def _lex(self, position: int) -> tuple[list[Token], int, bool]:
        source, spaced = self._source, True
        tokens: list[Token] = []
        while True:
            if position >= len(source):
                raise self._fail("unclosed action")
            char, start = source[position], position
            if source.startswith("}}", position):
                return tokens, position + 2, False
            if char in SPACE:
                if source[position + 1 : position + 4] == "-}}":
                    return tokens, position + 4, True
                position, spaced = position + 1, True
                continue
            if char in "\"'":
                text, position = self._quoted(position)
                tokens.append(
                    Token("number" if char == "'" else "string", str(ord(text)) if char == "'" else text, start, spaced)
                )
            elif char == "`":
                position = source.find("`", start + 1) + 1
                if not position:
                    raise self._fail("unterminated raw quoted string")
                tokens.append(Token("string", source[start + 1 : position - 1], start, spaced))
            elif char == "." or char == "$":
                position = self._word(position + 1)
                tokens.append(Token("field" if char == "." else "variable", source[start:position], start, spaced))
            elif char.isdigit() or (char in "+-" and source[position + 1 : position + 2].isdigit()):
                position += 1
                while position < len(source) and (source[position] in WORD or source[position] == "."):
                    position += 1
                tokens.append(Token("number", source[start:position], start, spaced))
            elif char in WORD:
                position = self._word(position)
                tokens.append(Token("word", source[start:position], start, spaced))
            elif source.startswith(":=", position):
                position += 2
                tokens.append(Token("punctuation", ":=", start, spaced))
            elif char in "|()=,":
                position += 1
                tokens.append(Token("punctuation", char, start, spaced))
            else:
                raise self._fail(f"unexpected {char!r} in command")
            spaced = False

    def _word(self, position: int) -> int:
        while position < len(self._source) and self._source[position] in WORD:
            position += 1
        return position

    def _quoted(self, start: int) -> tuple[str, int]:
        source, quote, position, text = self._source, self._source[start], start + 1, ""
        while position < len(source) and source[position] != quote:
            if source[position] == "\\":
                position += 1
                text += ESCAPES.get(source[position : position + 1], "")
            else:
                text += source[position]
            position += 1
        if position >= len(source):
            raise self._fail("unterminated quoted string")
        return text, position + 1

    def _nodes(self, ends: frozenset[str]) -> tuple[tuple[Node, ...], str]:
        """Nodes up to an action whose first word is in ``ends``; that action's words too."""
        nodes: list[Node] = []
        while self._pieces:
            text, tokens = self._pieces.pop(0)
            if not tokens:
                if text:
                    nodes.append(Node("text", text, None))
                continue
            word = tokens[0].text if tokens[0].kind == "word" else ""
            if word in ("end", "else"):
                if word not in ends:
                    raise self._fail(f"unexpected {{{{{word}}}}}")
                if len(tokens) > 1:
                    self._pieces.insert(0, ("", tokens[1:]))
                    return tuple(nodes), "else if"
                return tuple(nodes), word
            if word in ("if", "with", "range"):
                nodes.append(self._block(word, tokens[1:]))
            else:
                nodes.append(Node("action", "", self._whole_pipeline(tokens)))
        if ends:
            raise self._fail("unexpected EOF")
        return tuple(nodes), ""

    def _block(self, kind: str, tokens: list[Token]) -> Node:
        visible = set(self._variables)
        pipeline = self._whole_pipeline(tokens)
        body, end = self._nodes(frozenset(("end", "else")))
        otherwise: tuple[Node, ...] = ()
        if end == "else if":
            _, following = self._pieces.pop(0)
            otherwise = (self._block(following[0].text, following[1:]),)
        elif end == "else":
            otherwise, _ = self._nodes(frozenset(("end",)))
        self._variables = visible
        return Node(kind, "", pipeline, body, otherwise)

    def _whole_pipeline(self, tokens: list[Token]) -> Pipeline:
        pipeline, left = self._pipeline(tokens)
        if left:
            raise self._fail(f"unexpected {left[0].text!r} in operand")
        return pipeline

    def _pipeline(self, tokens: list[Token]) -> tuple[Pipeline, list[Token]]:
        declared: list[str] = []
        operators = [
            index for index, token in enumerate(tokens[:4]) if token.text in (":=", "=") and token.kind == "punctuation"
        ]
        assigns = bool(operators) and tokens[operators[0]].text == "="
        if operators:
            declared = [token.text for token in tokens[: operators[0]] if token.kind == "variable"]
            tokens = tokens[operators[0] + 1 :]
        commands: list[tuple[Term, ...]] = []
        while True:
            command: list[Term] = []
            while tokens and tokens[0].text not in ("|", ")"):
                term, tokens = self._term(tokens)
                command.append(term)
            if not command:
                raise self._fail("missing value for command")
            commands.append(tuple(command))
            if not tokens or tokens[0].text == ")":
                break
            tokens = tokens[1:]
        self._variables.update(declared)
        return Pipeline(tuple(commands), tuple(declared), assigns), tokens

    def _term(self, tokens: list[Token]) -> tuple[Term, list[Token]]:
        token, rest = tokens[0], tokens[1:]
        fields: list[str] = []
        kind = "literal"
        value: Any = None
        match token.kind:
            case "string":
                value = token.text
            case "number":
                value = float(token.text) if "." in token.text else int(token.text, 0)
            case "field":
                kind = "dot"
                if token.text != ".":
                    fields.append(token.text[1:])
            case "variable":
                kind, value = "variable", token.text
                if token.text not in self._variables:
                    raise self._fail(f'undefined variable "{token.text}"')
            case "word":
                if token.text in ("true", "false", "nil"):
                    value = {"true": True, "false": False, "nil": None}[token.text]
                elif token.text in FUNCTIONS or token.text in ("and", "or"):
                    kind, value = "function", token.text
                else:
                    raise self._fail(f'function "{token.text}" not defined')
            case _:
                if token.text != "(":
                    raise self._fail(f"unexpected {token.text!r} in operand")
                kind = "group"
                value, rest = self._pipeline(rest)
                if not rest:
                    raise self._fail("unclosed left paren")
                rest = rest[1:]
        while rest and rest[0].kind == "field" and not rest[0].spaced and rest[0].text != ".":
            fields.append(rest[0].text[1:])
            rest = rest[1:]
        if kind == "dot" and fields:
            self.fields.append(fields[0])
        source = ("." if kind == "dot" else token.text + ("." if fields else "")) + ".".join(fields)
        return Term(kind, value, tuple(fields), token.position, source), rest
