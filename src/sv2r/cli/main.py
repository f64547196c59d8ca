"""The `sv2r` command. Its subcommands come from plugins, sv2r's own as well as anyone's.

A plugin that brings a command names its entry point like it, and the first line of its module says
what it does: "`sv2r NAME …`: what it does". So help lists it without importing it, and only the
command that is asked for is imported.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import click

from sv2r.cli.lines import plain, write_any_text
from sv2r.devices import settle_waiting
from sv2r.errors import ConfigError, PluginError, Sv2rError
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
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            raise ConfigError(_unknown(args[0], self.list_commands(ctx)))
        return super().resolve_command(ctx, args)


def _listed() -> Iterator[tuple[str, str]]:
    """Yield name and summary of the commands, sv2r's own first; no plugin is imported."""
    own = []
    for plugin, text in _with_commands():
        name, distribution = plugin.owner.plugin, plugin.owner.distribution
        said = re.search(
            rb'^"""`sv2r %b\b[^`]*`: (.+?)"*$' % re.escape(name.encode()), text, re.MULTILINE
        )
        summary = said[1].decode(errors="replace") if said else "a plugin's command."
        whose = "" if distribution == GROUP else f" ({distribution})"
        if name not in own:
            own.append(name)
            yield name, f"{summary[0].upper()}{summary[1:]}{whose}"


def _with_commands() -> Iterator[tuple[InstalledPlugin, bytes]]:
    """Yield the plugins that seem to bring commands, with their modules' text."""
    unwanted = Unwanted.read()
    for plugin in find_plugins()[0]:
        if plugin.owner not in unwanted:
            text = _text_with_commands(plugin.target.partition(":")[0].strip())
            if text is not None:
                yield plugin, text


def _text_with_commands(module: str) -> bytes | None:
    """Return a module's text if it names the hook, else None; nothing of it is run."""
    from importlib.util import find_spec

    top, *rest = module.split(".")
    try:
        spec = find_spec(top)  # of a package this runs nothing
        if spec is None or spec.origin is None:
            return None
        file = Path(spec.origin)
        if rest:
            file = file.parent.joinpath(*rest).with_suffix(".py")
        if not file.is_file():
            return b""  # a package within the package may have it anywhere
        text = file.read_bytes()
    except (OSError, ValueError, ImportError):  # it fails, with its reason, when it is loaded
        return None
    return text if b"sv2r_commands" in text else None


def _find(name: str) -> click.Command | None:
    """Return a command: from the plugin of its name, or else from whichever brings it.

    Raises:
        ConfigError: the plugin of its name failed.
    """
    bringing = [plugin for plugin, _ in _with_commands()]
    if not bringing:
        return None
    from sv2r.plugin.registry import Entry, PluginFailure, load_plugin, load_registry

    def guarded(entry: Entry) -> click.Command:
        command: click.Command = entry.value
        return command if entry.owner.distribution == GROUP else guard_command(entry, command)

    for plugin in bringing:
        if plugin.owner.plugin == name:
            brought = load_plugin(plugin)
            if isinstance(brought, PluginFailure):
                raise ConfigError(str(brought))
            for entry in brought:
                if (entry.kind, entry.name) == ("command", name):
                    return guarded(entry)
    found = (entry for entry in load_registry().of_kind("command") if entry.name == name)
    return next(map(guarded, found), None)


def _unknown(name: str, known: list[str]) -> str:
    from difflib import get_close_matches

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
    return code if isinstance(code, int) else 0


def _told(error: Exception) -> int:
    """Return the exit code for an error, told in one line; what is our own mistake is raised."""
    match error:
        case click.ClickException():
            title = "" if isinstance(error, click.exceptions.NoArgsIsHelpError) else "Error: "
            return _failed(f"{title}{error.format_message()}", 2)
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
