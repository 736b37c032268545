import json

import click
import pytest

from cli.swarmctl.client import ApiError
from cli.swarmctl.table import Row, each, end_with, show_list, show_objects, show_table

COLUMNS = {"_ID": "ID", "Name": "NAME"}
ROWS: list[Row] = [
    {"ID": "1", "_ID": "1 *", "Name": "web", "EngineVersion": "5", "Self": True},
    {"ID": "2", "_ID": "2", "Name": "a-long-name", "EngineVersion": "6", "Self": False},
]
LISTS = {
    "the default table": (None, "ID        NAME\n1 *       web\n2         a-long-name\n"),
    "by name": ("table", "ID        NAME\n1 *       web\n2         a-long-name\n"),
    "a template": ("{{.ID}}:{{.Self}}", "1:true\n2:false\n"),
    "a template with a tab": (r"{{.ID}}\t{{.Name}}", "1\tweb\n2\ta-long-name\n"),
    "a table of a template": (
        r"table {{.EngineVersion}}\t{{.Name}}",
        "ENGINE VERSION   NAME\n5                web\n6                a-long-name\n",
    ),
    "JSON": (
        "json",
        (
            '{"EngineVersion":"5","ID":"1","Name":"web","Self":true}\n'
            '{"EngineVersion":"6","ID":"2","Name":"a-long-name","Self":false}\n'
        ),
    ),
}


@pytest.mark.parametrize(("format_", "expected"), LISTS.values(), ids=LISTS)
def test_lists(format_: str | None, expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    show_list(ROWS, COLUMNS, format_=format_)
    assert capsys.readouterr().out == expected


def test_quiet_shows_ids(capsys: pytest.CaptureFixture[str]) -> None:
    show_list(ROWS, COLUMNS, format_=None, quiet=True)
    assert capsys.readouterr().out == "1\n2\n"


def test_an_empty_list_has_its_headings(capsys: pytest.CaptureFixture[str]) -> None:
    show_list([], COLUMNS, format_=None)
    show_list([], COLUMNS, format_="table {{.ID}}")
    show_list([], COLUMNS, format_="{{.ID}}")
    assert capsys.readouterr().out == "ID        NAME\nID\n"


@pytest.mark.parametrize("template", ["{{.Nope}}", "{{.ID", "{{nope .ID}}", "{{._ID.x}}"])
def test_a_wrong_template_is_a_wrong_command_line(template: str) -> None:
    with pytest.raises(click.UsageError, match="template"):
        show_list(ROWS, COLUMNS, format_=template)


def test_an_unknown_field_names_the_known_ones() -> None:
    with pytest.raises(click.UsageError, match=r"one of ID, Name, EngineVersion, Self$"):
        show_list(ROWS, COLUMNS, format_="{{.Nope}}")


def test_lines_may_differ_in_length(capsys: pytest.CaptureFixture[str]) -> None:
    show_table([["a", "b"], ["c"]])
    show_table([])
    assert capsys.readouterr().out == "a         b\nc\n"


def test_objects_are_json_text_or_a_template_each(capsys: pytest.CaptureFixture[str]) -> None:
    objects = [{"a": "é"}, {"a": "2"}]
    show_objects(objects, format_=None)
    assert json.loads(capsys.readouterr().out) == objects
    show_objects(objects, format_="json")
    show_objects(objects, format_="{{.a}}")
    show_objects(objects, format_=None, pretty=lambda item: f"<{item['a']}>")
    show_objects([], format_=None, pretty=str)
    assert capsys.readouterr().out == '{"a":"é"}\n{"a":"2"}\né\n2\n<é>\n<2>\n'


def test_what_fails_is_said_after_what_works(capsys: pytest.CaptureFixture[str]) -> None:
    def act(name: str) -> str:
        if name == "bad":
            raise ApiError(404, "no bad")
        return name.upper()

    done, failed = each(["a", "bad", "b"], act)
    assert done == ["A", "B"]
    with pytest.raises(click.exceptions.Exit):
        end_with(failed, named=True)
    assert capsys.readouterr().err == "bad: Error response from daemon: no bad\n"
    end_with([])
