import pytest

from cli.swarmctl.template import TemplateError, render

DATA = {"Name": "web", "Spec": {"Labels": {"a": "b"}, "Ports": [80, 443], "Empty": []}, "On": True}

CASES = {
    "plain text": ("hello", "hello"),
    "a field": ("{{.Name}}", "web"),
    "a deep field": ("{{ .Spec.Labels.a }}", "b"),
    "JSON": ("{{json .Spec.Ports}}", "[80,443]"),
    "everything": ("{{json .On}}", "true"),
    "a pipeline": ("{{.Name | upper | json}}", '"WEB"'),
    "range": ("{{range .Spec.Ports}}<{{.}}>{{end}}", "<80><443>"),
    "range over nothing": ("{{range .Spec.Empty}}x{{else}}none{{end}}", "none"),
    "if": ("{{if .On}}on{{else}}off{{end}}", "on"),
    "if not": ("{{if .Spec.Empty}}on{{else}}off{{end}}", "off"),
    "with": ("{{with .Spec.Labels}}{{.a}}{{end}}", "b"),
    "the root in a block": ("{{range .Spec.Ports}}{{$.Name}}{{end}}", "webweb"),
    "index": ('{{index .Spec.Labels "a"}}', "b"),
    "join": ('{{join .Spec.Ports ","}}', "80,443"),
    "parentheses": ("{{if eq (len .Spec.Ports) 2}}two{{end}}", "two"),
    "trimmed": ("a  {{- .Name -}}  b", "awebb"),
    "a comment": ("a{{/* nothing */}}b", "ab"),
    "an absent field": ("{{.Nothing}}", "<no value>"),
    "a map as Go prints it": ("{{.Spec.Labels}}", "map[a:b]"),
}


@pytest.mark.parametrize(("template", "expected"), CASES.values(), ids=CASES)
def test_renders(template: str, expected: str) -> None:
    assert render(template, DATA) == expected


REFUSED = {
    "an unclosed action": "{{.Name",
    "an unknown function": "{{frob .Name}}",
    "a field of a string": "{{.Name.Other}}",
    "end without beginning": "{{end}}",
    "range without end": "{{range .Spec.Ports}}",
    "a bad argument": "{{len .On}}",
}


@pytest.mark.parametrize("template", REFUSED.values(), ids=REFUSED)
def test_refuses(template: str) -> None:
    with pytest.raises(TemplateError):
        render(template, DATA)
