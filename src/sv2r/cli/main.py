"""The `sv2r` command. Its subcommands come from plugins, sv2r's own as well as anyone's.

A plugin that brings a command names its entry point like it, and the first line of its module says
what it does: "`sv2r NAME …`: what it does". So help lists it without importing it, and only the
command that is asked for is imported.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

import click

from sv2r.cli.lines import plain, write_any_text
from sv2r.devices import settle_waiting
from sv2r.errors import ConfigError, PluginError, Sv2rError
from sv2r.interrupts import take_interrupts
from sv2r.plugin.discovery import GROUP, InstalledPlugin, Unwanted, find_plugins
from sv2r.plugin.guard import guard_command

# For authors of plugins: what a plugin raised is shown whole.
_TRACEBACK = "SV2R_TRACEBACK"


class _Commands(click.Group):
    """The commands that the installed plugins bring."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for name, _ in _listed()]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return _find(cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_listed()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if not args or args[0].startswith("-"):
            return super().resolve_command(ctx, args)
        command = self.get_command(ctx, args[0])
        if command is None and not ctx.resilient_parsing:
            raise ConfigError(_unknown(args[0], self.list_commands(ctx)))
        return args[0] if command else None, command, args[1:]


def _listed() -> Iterator[tuple[str, str]]:
    """Yield name and summary of the commands, sv2r's own first; no plugin is imported."""
    own = []
    for plugin in _with_commands():
        name, distribution = plugin.owner.plugin, plugin.owner.distribution
        first = rb'^"""`sv2r %b\b[^`]*`: (.+?)"*$' % re.escape(name.encode())
        said = re.search(first, plugin.text() or b"", re.MULTILINE)
        summary = said[1].decode(errors="replace") if said else "a plugin's command."
        whose = "" if distribution == GROUP else f" ({distribution})"
        if name not in own:
            own.append(name)
            yield name, f"{summary[0].upper()}{summary[1:]}{whose}"


def _with_commands() -> Iterator[InstalledPlugin]:
    """Yield the plugins that seem to bring commands."""
    unwanted = Unwanted.read()
    for plugin in find_plugins()[0]:
        if plugin.owner not in unwanted and plugin.may_implement(["sv2r_commands"]):
            yield plugin


def _find(name: str) -> click.Command | None:
    """Return a command: from the plugin of its name, or else from whichever brings it.

    Raises:
        ConfigError: the plugin of its name failed.
    """
    from sv2r.plugin.registry import Entry, PluginFailure, load_plugin, load_registry

    def guarded(entry: Entry) -> click.Command:
        command: click.Command = entry.value
        return command if entry.owner.distribution == GROUP else guard_command(entry, command)

    for plugin in _with_commands():
        if plugin.owner.plugin == name:
            brought = load_plugin(plugin)
            if isinstance(brought, PluginFailure):
                raise ConfigError(str(brought))
            for entry in brought:
                if (entry.kind, entry.name) == ("command", name):
                    return guarded(entry)
    registry = load_registry(hooks=["sv2r_commands"])
    found = (entry for entry in registry.of_kind("command") if entry.name == name)
    return next(map(guarded, found), None)


# Commands of packages that are installed by name alone, and the extras that bring them.
_EXTRAS = {"demo": "demo", "tabletop": "demo"}


def _unknown(name: str, known: list[str]) -> str:
    from difflib import get_close_matches

    if name in _EXTRAS:
        extra = _EXTRAS[name]
        return f"the command '{name}' is in a package of its own: pip install 'sv2r[{extra}]'"
    near = get_close_matches(name, known, 1)
    hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(known)}"
    return f"no command '{name}'; {hint}"


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="sv2r")
def cli() -> None:
    """Turn a labelled synthetic dataset into one that looks like real photographs.

    Labels go through byte for byte; only pixels change, and every picture is checked before it is
    published. Start with: sv2r convert --help
    """


def main() -> None:
    """Run `sv2r` and exit with its code."""
    sys.exit(run_command(cli))


def run_command(command: click.Command) -> int:
    """Return a command's exit code; a user's mistake is one line on stderr, without a traceback."""
    settle_waiting()
    write_any_text()
    # Pydantic looks for plugins of its own in the metadata of all that is installed, which takes
    # long and fails where one distribution's is damaged.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    give_back = _take_interrupts()
    try:
        code = command.main(standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()  # here, so that a full disk is told
    except BrokenPipeError:
        sys.stderr.close()
        return 141
    except Exception as error:
        return _told(error)
    except KeyboardInterrupt:
        return _told(click.Abort())
    finally:
        give_back()
    return code if isinstance(code, int) else 0


def _take_interrupts() -> Callable[[], None]:
    """Let SIGTERM and SIGHUP be as Ctrl-C; return what undoes that."""
    if threading.current_thread() is not threading.main_thread():
        return lambda: None
    return take_interrupts(signal.default_int_handler, (signal.SIGTERM, signal.SIGHUP))


def _told(error: Exception) -> int:
    """Return the exit code for an error, told in one line; what is our own mistake is raised."""
    match error:
        case click.ClickException():
            if isinstance(error, click.exceptions.NoArgsIsHelpError):
                click.echo(error.format_message(), err=True)
                return 2
            return _failed(f"Error: {error.format_message()}", 2)
        case click.Abort():
            return _failed("stopped; run the same command again to continue", 130)
        case PluginError() if not os.environ.get(_TRACEBACK):
            line = f"Error: {error} ({_TRACEBACK}=1 shows where)"
            return _failed(line, 2 if error.early else 1)
        case Sv2rError() if not isinstance(error, PluginError):
            return _failed(f"Error: {error}", 2 if isinstance(error, ConfigError) else 1)
        case OSError():
            return _unwritable(error)
    raise error


def _failed(line: str, code: int) -> int:
    with suppress(OSError):  # nobody reads any more
        click.echo(plain(line), err=True)
    return code


def _unwritable(error: OSError) -> int:
    """Return the exit code for what the operating system refuses, told in one line."""
    what = (error.strerror or str(error)).lower()
    if error.filename is not None:
        return _failed(f"Error: {error.filename}: {what}", 2)
    # What has no name is what we print to; its rest would be tried again when Python ends.
    sys.stdout = None
    return _failed(f"Error: the output cannot be written: {what}", 1)


if __name__ == "__main__":
    main()
