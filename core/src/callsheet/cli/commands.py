"""The commands by name; a command's module is imported when the command is asked for, a plugin's likewise."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from importlib import import_module

import click

from callsheet.cli.terminal import Session

__all__ = ["LOG_LEVELS", "SuggestingGroup", "cli"]

LOG_LEVELS = ("debug", "info", "warning", "error")

_COMMANDS = {
    "models": ("models", "models", "List and search the models that can be called."),
    "model": ("model", "model", "Show one model, or keep rows of your own: add, diff."),
    "plan": ("plan", "plan", "Show what a run of a call sheet would do, and for how much."),
    "run": ("run", "run", "Run a call sheet to finished artifacts."),
    "call": ("call", "call", "Make one call to one model."),
    "chat": ("chat", "chat", "Talk with a model, now or later."),
    "runs": ("runs", "runs", "List, show, open, follow, cancel and verify runs."),
    "jobs": ("jobs", "jobs", "List, adopt or stop the calls that were left behind."),
    "costs": ("costs", "costs", "Show what was spent, by run, provider, model, producer or day."),
    "health": ("health", "health", "Show what keeps calls from being sent, and whether providers answer."),
    "resume": ("resume", "resume", "Go on with a run, or collect a remote job."),
    "completion": ("completion", "completion", "Print the script that completes commands in a shell."),
    "config": ("config", "config", "Show the settings that hold here, and where each comes from."),
    "plugins": ("plugins", "plugins", "List the installed plugins."),
    "trust": ("trust", "trust", "Say that a project's file may send keys where it does."),
    "secrets": ("secrets", "secrets", "Keep providers' keys, and see where each is found."),
    "schema": ("schema", "schema", "Print a JSON Schema, so that an editor completes what you write."),
}
"""Name: module in this package, attribute, and the line in the help (so that the help imports none of them)."""


class SuggestingGroup(click.Group):
    """A group that answers a misspelt command with the nearest known one."""

    def names(self, ctx: click.Context) -> Iterable[str]:
        """All names that a user may have meant."""
        return self.list_commands(ctx)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does it, with a better answer to an unknown name."""
        name = args[0]
        if not ctx.resilient_parsing and name.isprintable() and not name.startswith("-"):
            command = self.get_command(ctx, name)
            if command is None:
                near = get_close_matches(name, list(self.names(ctx)), 1)
                hint = f" Did you mean {near[0]!r}?" if near else ""
                ctx.fail(f"No such command {name!r}.{hint}")
            return name, command, args[1:]
        return super().resolve_command(ctx, args)


class LazyGroup(SuggestingGroup):
    """The top level: our own commands by the table above, then those of plugins."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Our own; the plugins' commands are in `callsheet plugins list`, because finding them takes time."""
        return list(_COMMANDS)

    def names(self, ctx: click.Context) -> Iterable[str]:  # noqa: ARG002
        """Our own and the plugins'."""
        from callsheet.cli.guests import guest_names

        return [*_COMMANDS, *guest_names()]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command. Raises PluginError for a plugin's command that cannot be loaded."""
        if cmd_name in _COMMANDS:
            module, attribute, _ = _COMMANDS[cmd_name]
            command = getattr(import_module(f"callsheet.cli.{module}"), attribute)
            assert isinstance(command, click.Command)
            return command
        from callsheet.cli.guests import guest_command

        return guest_command(cmd_name, ctx.obj)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """From the table, without importing the commands."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, _, line) in _COMMANDS.items()])


def _version(ctx: click.Context, _param: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from importlib.metadata import version

        click.echo(f"callsheet {version('callsheet')}")
        ctx.exit()


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Plugins may add commands: `callsheet plugins list` names them.",
)
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Show the version.")
@click.option(
    "--env-file",
    type=click.Path(exists=True, dir_okay=False, resolve_path=True),
    metavar="FILE",
    help="Look for secrets in this .env file, too.",
)
@click.option("--log-level", type=click.Choice(LOG_LEVELS), help="Show the library's log on stderr from this level on.")
@click.pass_obj
def cli(session: Session, env_file: str | None, log_level: str | None) -> None:
    """One plugin interface for every generative model, and a runner from a TOML plan to finished artifacts."""
    session.env_file, session.log_level = env_file or "", log_level or ""
