from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.cli.gofunctions import TemplateError
from shoal.cli.gotemplate import Template

DATA: dict[str, Any] = {
    "Id": "abc",
    "Name": "/web",
    "State": {"Running": True, "Pid": 7, "Error": ""},
    "Ports": {"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}], "81/tcp": None},
    "Args": ["a", "b"],
    "None": None,
}


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("plain", "plain"),
        ("{{.Id}} {{.ID}} {{ .State.Pid }}", "abc abc 7"),
        ("{{json .State}}", '{"Running":true,"Pid":7,"Error":""}'),
        ("{{.State}}", "map[Error: Pid:7 Running:true]"),
        ("{{.Args}} {{.None}} {{len .Args}}", "[a b] <no value> 2"),
        ("{{if .State.Running}}up{{else}}down{{end}}", "up"),
        ("{{if .State.Error}}bad{{else if eq .State.Pid 7 8}}seven{{else}}other{{end}}", "seven"),
        ("{{range $k, $v := .Ports}}{{$k}}{{if $v}}={{(index $v 0).HostPort}}{{end}} {{end}}", "80/tcp=8080 81/tcp "),
        ("{{range .Args}}<{{.}}>{{else}}none{{end}}", "<a><b>"),
        ("{{range .None}}x{{else}}none{{end}}", "none"),
        ("{{with .State}}{{.Pid}}{{end}}{{with .None}}x{{else}}y{{end}}", "7y"),
        ('{{join .Args ","}} {{index .Args 1 | upper}} {{split "a:b" ":"}}', "a,b B [a b]"),
        ('{{printf "%-5s|%03d|%q|%v" .Id .State.Pid .Id .State.Running}}', 'abc  |007|"abc"|true'),
        ('{{slice .Name 1}} {{title "foo bar"}} {{lower "ABC"}}', "web Foo Bar abc"),
        ("{{$x := .State}}{{$x.Pid}} {{$.Id}}", "7 abc"),
        ("a {{- .Id -}} b{{/* comment */}}", "aabcb"),
        ("{{and .State.Running .Id}} {{or .State.Error .Id}} {{not .State.Error}}", "abc abc true"),
        ("{{if and (gt .State.Pid 5) (lt .State.Pid 9)}}in{{end}}", "in"),
        ("{{println 1 2}}", "1 2\n"),
        ("{{`raw {{`}}", "raw {{"),
        ('{{index .Ports "80/tcp" 0 | json}}', '{"HostIp":"0.0.0.0","HostPort":"8080"}'),
    ],
)
def test_templates(source: str, text: str) -> None:
    assert Template(source).render(DATA) == text


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{{.Foo}}", 'template: :1:2: executing "" at <.Foo>: map has no entry for key "Foo"'),
        ("{{json .Foo.Bar}}", 'template: :1:7: executing "" at <.Foo.Bar>: map has no entry for key "Foo"'),
        ("{{.Foo", "template: :1: unclosed action"),
        ("{{if .Id}}", "template: :1: unexpected EOF"),
        ("{{end}}", "template: :1: unexpected {{end}}"),
        ("{{foo .}}", 'template: :1: function "foo" not defined'),
        ("{{$x}}", 'template: :1: undefined variable "$x"'),
    ],
)
def test_errors_are_gos(source: str, message: str) -> None:
    with pytest.raises(TemplateError) as caught:
        Template(source).render(DATA)
    assert str(caught.value) == message


@given(st.text(alphabet='{}.-|()$"`ab12 :=,/*ifendrangelswithjson', max_size=40))
def test_any_text_renders_or_fails_as_a_template(source: str) -> None:
    try:
        Template(source).render(DATA)
    except TemplateError as error:
        assert str(error)
