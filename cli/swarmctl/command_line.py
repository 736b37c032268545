"""Commands that read a command line as docker's do: ``--detach=false``, ``-f=json``; flags that are not there yet."""

import importlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import click
from typing_extensions import override

_MAX_SUGGESTIONS = 3


class Command(click.Command):
    """A command whose switches take ``=true`` and ``=false``, as docker's do."""

    @override
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        args, switched_off = self._normal(args)
        rest = super().parse_args(ctx, args)
        for name in switched_off:
            ctx.params[name] = False
        return rest

    def _normal(self, args: Sequence[str]) -> tuple[list[str], list[str]]:
        """The arguments as click reads them, and the names of the switches that were set to false."""
        options = {
            text: param
            for param in self.params
            if isinstance(param, click.Option)
            for text in param.opts
        }
        normal: list[str] = []
        off: list[str] = []
        rest = list(args)
        while rest:
            word = rest.pop(0)
            if word == "--" or (word[:1] != "-" and not self._interspersed):
                return [*normal, word, *rest], off
            flag, sign, value = _split(word)
            option = options.get(flag)
            if option is not None and option.is_flag and sign:
                (normal if _is_on(flag, value) else off).append(
                    flag if _is_on(flag, value) else str(option.name)
                )
                continue
            normal += [flag, value] if sign and flag[:2] != "--" else [word]
            if option is not None and not option.is_flag and not sign and rest:
                normal.append(rest.pop(0))
        return normal, off

    @property
    def _interspersed(self) -> bool:
        return bool(self.context_settings.get("allow_interspersed_args", True))


def _split(word: str) -> tuple[str, str, str]:
    if word.startswith("--") or (word[1:2].isalpha() and word[2:3] == "="):
        return word.partition("=")
    return word, "", ""


def _is_on(flag: str, value: str) -> bool:
    from cli.swarmctl.arguments import boolean  # noqa: PLC0415 - slow to load, rarely needed

    try:
        return boolean(value)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=flag) from None


class Group(click.Group):
    """A group of such commands that suggests a name for one that it does not know."""

    command_class = Command

    @override
    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-"):
            import difflib  # noqa: PLC0415 - slow to load, rarely needed

            near = difflib.get_close_matches(name, self.list_commands(ctx), _MAX_SUGGESTIONS)
            hint = f" Did you mean {' or '.join(near)}?" if near else ""
            ctx.fail(
                f"There is no command {name!r} (docs/limits.md says what is not there yet).{hint}"
            )
        return super().resolve_command(ctx, args)


Group.group_class = Group


class Lazy(NamedTuple):
    """A command whose module is imported when it is named, so that swarmctl starts fast."""

    help: str
    module: str
    attribute: str = "command"
    section: str = "Commands"
    """Under which heading it is shown; empty: it is not."""


class LazyGroup(Group):
    """A group of such commands."""

    def __init__(self, *, lazy: Mapping[str, Lazy], **more: Any) -> None:  # noqa: ANN401 - click's
        super().__init__(**more)
        self._lazy = lazy

    @override
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._lazy)

    @override
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        named = self._lazy.get(cmd_name)
        if named is None:
            return None
        command: click.Command = getattr(importlib.import_module(named.module), named.attribute)
        return command

    @override
    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for section in dict.fromkeys(named.section for named in self._lazy.values()):
            if section:
                with formatter.section(section):
                    formatter.write_dl(
                        [
                            (n, lazy.help)
                            for n, lazy in self._lazy.items()
                            if lazy.section == section
                        ]
                    )


class NodeCommand(Command):
    """A command about what is on one node: this one, or the one that ``--node`` names."""

    def __init__(self, *arguments: Any, **more: Any) -> None:  # noqa: ANN401 - click's
        super().__init__(*arguments, **more)
        self.params.append(
            click.Option(
                ["--node"],
                callback=_on_node,
                expose_value=False,
                metavar="NODE",
                help="on this node of the swarm, by name or id",
            )
        )


def _on_node(context: click.Context, _option: click.Parameter, value: str | None) -> None:
    if value:
        context.obj = context.obj.on_node(value)


class NodeGroup(Group):
    """A group of such commands."""

    command_class = NodeCommand


def not_yet(flag: str, what: str, verb: str = "are") -> click.Option:
    """A flag of docker's that is refused by name."""

    def refuse(_context: click.Context, _option: click.Parameter, value: Any) -> None:  # noqa: ANN401
        if value:
            raise click.UsageError(f"{flag}: {what} {verb} not available yet")

    return click.Option(
        [flag], multiple=True, callback=refuse, expose_value=False, hidden=True, metavar="VALUE"
    )


def without_effect(flag: str, why: str) -> click.Option:
    """A switch of docker's that is taken because what it asks for is so anyway."""
    return click.Option([flag], is_flag=True, expose_value=False, help=why)
