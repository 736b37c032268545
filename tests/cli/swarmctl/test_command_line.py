import click
import pytest
from click.testing import CliRunner

from cli.swarmctl.command_line import Group, not_yet, without_effect


@click.group(cls=Group)
def root() -> None:
    pass


@root.command(context_settings={"allow_interspersed_args": False})
@click.argument("image")
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
@click.option("-d", "--detach", is_flag=True)
@click.option("-i", "--init", is_flag=True, default=None)
@click.option("-e", "--env", multiple=True)
def create(**given: object) -> None:
    click.echo(repr(sorted(given.items())))


create.params += [not_yet("--secret", "secrets"), without_effect("--resolve", "as is")]

CASES = {
    "a switch takes no word": (["-d", "i"], ("i", (), True, None, ())),
    "a switch set to true": (["--detach=true", "i"], ("i", (), True, None, ())),
    "a switch set to false": (["--detach=false", "i"], ("i", (), False, None, ())),
    "a short switch set to false": (["-d=false", "i"], ("i", (), False, None, ())),
    "off is not left out": (["--init=false", "i"], ("i", (), False, False, ())),
    "Go's words": (["--init=T", "i"], ("i", (), False, True, ())),
    "a short flag with =": (["-e=A=b", "i"], ("i", (), False, None, ("A=b",))),
    "a value like a switch": (
        ["-e", "--detach=false", "i"],
        ("i", (), False, None, ("--detach=false",)),
    ),
    "the container's own words": (
        ["i", "--detach=false", "-e=1"],
        ("i", ("--detach=false", "-e=1"), False, None, ()),
    ),
    "after --": (["-d", "--", "i", "--init=true"], ("i", ("--init=true",), True, None, ())),
    "taken, without effect": (["--resolve", "i"], ("i", (), False, None, ())),
}


@pytest.mark.parametrize(("words", "expected"), CASES.values(), ids=CASES)
def test_reads(words: list[str], expected: tuple[object, ...]) -> None:
    done = CliRunner().invoke(root, ["create", *words])
    names = ("image", "args", "detach", "init", "env")
    assert done.output.strip() == repr(sorted(zip(names, expected, strict=True)))


WRONG = {
    "a switch with another value": (["create", "--detach=maybe", "i"], "use true or false"),
    "what is not there yet": (
        ["create", "--secret", "x", "i"],
        "--secret: secrets are not available yet",
    ),
    "an unknown command": (["destroy"], "There is no command 'destroy'"),
    "nearly a command": (["creat"], "Did you mean create?"),
}


@pytest.mark.parametrize(("words", "text"), WRONG.values(), ids=WRONG)
def test_refuses(words: list[str], text: str) -> None:
    done = CliRunner().invoke(root, words)
    assert done.exit_code == 2
    assert text in done.output
