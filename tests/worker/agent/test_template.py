from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InvalidInputError
from common.model.container_spec import ContainerSpec, Driver, Mount, VolumeOptions
from worker.agent.template import EXPANDED_CHARS_MAX, Facts, expand, expand_spec

FACTS = Facts(
    service_id="s1",
    service_name="web",
    service_labels={"tier": "front", "com.example/tier": "dotted"},
    node_id="n1",
    node_hostname="host1",
    platform_os="linux",
    platform_architecture="x86_64",
    task_id="t1",
    task_name="web.1.t1",
    task_slot="1",
)

CASES = {
    "plain": "plain",
    "{{.Service.ID}}/{{.Service.Name}}": "s1/web",
    "{{ .Node.Hostname }}": "host1",
    "{{.Node.ID}}": "n1",
    "{{.Node.Platform.OS}}-{{.Node.Platform.Architecture}}": "linux-x86_64",
    "{{.Task.ID}} {{.Task.Name}} {{.Task.Slot}}": "t1 web.1.t1 1",
    "{{.Service.Labels.tier}}": "front",
    "{{.Service.Labels.absent}}": "",
    '{{index .Service.Labels "com.example/tier"}}': "dotted",
    "{not} a {placeholder}": "{not} a {placeholder}",
    "a}}b": "a}}b",
}


@pytest.mark.parametrize("text", CASES)
def test_what_docker_expands(text: str) -> None:
    assert expand(text, FACTS) == CASES[text]


@pytest.mark.parametrize(
    "text",
    [
        "{{.Service.Nmae}}",
        "{{Service.Name}}",
        "{{.Service.Labels.a.b}}",
        "{{.Service.Labels}}",
        "{{.Task.Slot",
        "{{}}",
        "{{env `HOME`}}",
        "{{.Node.Hostname | printf}}",
    ],
)
def test_anything_else_is_an_error_that_names_it(text: str) -> None:
    with pytest.raises(InvalidInputError) as error:
        expand(text, FACTS)
    assert text in error.value.message


def test_what_comes_of_it_is_bounded() -> None:
    long = replace(FACTS, service_labels={"x": "x" * 1000})
    with pytest.raises(InvalidInputError, match="more than"):
        expand("{{.Service.Labels.x}}" * (EXPANDED_CHARS_MAX // 1000 + 1), long)


def test_a_value_is_not_expanded_again() -> None:
    sly = replace(FACTS, node_hostname="{{.Task.ID}}")
    assert expand("{{.Node.Hostname}}", sly) == "{{.Task.ID}}"


def test_environment_hostname_and_mounts_of_a_spec() -> None:
    volume = VolumeOptions(
        labels={"of": "{{.Task.Slot}}"},
        driver_config=Driver(name="local", options={"device": "/srv/{{.Node.ID}}"}),
    )
    spec = ContainerSpec(
        image="{{.Task.ID}}",
        env=("A={{.Task.Slot}}", "B=b"),
        hostname="{{.Service.Name}}-{{.Task.Slot}}",
        mounts=(
            Mount(source="data-{{.Task.Slot}}", target="/{{.Node.ID}}", volume_options=volume),
        ),
    )
    assert expand_spec(spec, FACTS) == replace(
        spec,
        env=("A=1", "B=b"),
        hostname="web-1",
        mounts=(
            Mount(
                source="data-1",
                target="/n1",
                volume_options=VolumeOptions(
                    labels={"of": "1"},
                    driver_config=Driver(name="local", options={"device": "/srv/n1"}),
                ),
            ),
        ),
    )


def test_an_error_says_where_it_is() -> None:
    with pytest.raises(InvalidInputError, match="expanding env failed: unknown placeholder"):
        expand_spec(ContainerSpec(env=("A={{.X}}",)), FACTS)


@given(st.text(alphabet="{}. abTaskID", max_size=40))
def test_it_gives_text_or_says_no(text: str) -> None:
    try:
        expanded = expand(text, FACTS)
    except InvalidInputError:
        return
    assert "{{" not in expanded
