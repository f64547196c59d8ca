"""The `sv2r` command. Its subcommands are imported when they are named, so that help is quick."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path

import click

from sv2r.errors import ConfigError, Sv2rError
from sv2r.plugin.commands import COMMANDS


class _Commands(click.Group):
    """sv2r's own commands by name, then those of plugins."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*COMMANDS, *sorted(_plugin_commands())]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in COMMANDS:
            command = getattr(import_module(f"sv2r.cli.{cmd_name}"), cmd_name)
            return command if isinstance(command, click.Command) else None
        return _plugin_commands().get(cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([*COMMANDS.items(), *sorted(_plugin_lines())])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            raise ConfigError(_unknown(args[0], self.list_commands(ctx)))
        return super().resolve_command(ctx, args)


def _plugin_lines() -> Iterator[tuple[str, str]]:
    """Yield name and summary of the plugins that seem to bring a command, without loading them.

    A plugin that brings one names its entry point like it. The summary is what the module's first
    line says of it ("`sv2r NAME …`: what it does"), else nothing but whose it is.
    """
    for name, distribution, text in _with_commands():
        if name not in COMMANDS:
            said = re.match(rb'"""`sv2r %b\b[^`]*`: (.+?)"*$' % name.encode(), text, re.MULTILINE)
            summary = said[1].decode() if said else "A plugin's command."
            yield name, f"{summary[0].upper()}{summary[1:]} ({distribution})"


def _with_commands() -> Iterator[tuple[str, str, bytes]]:
    """Yield name, distribution and module's text of the entry points that may bring commands."""
    for name, module, distribution in _entry_points():
        if not module.startswith("sv2r."):  # sv2r's own have none
            text = _text_with_commands(module)
            if text is not None:
                yield name, distribution, text


def _entry_points() -> Iterator[tuple[str, str, str]]:
    """Yield name, module and distribution of each entry point of the group sv2r.

    importlib.metadata reads the metadata of all that is installed, which would be a third of the
    time that help takes. Plugins are loaded through it all the same.
    """
    for folder in dict.fromkeys(sys.path):
        for file in sorted(Path(folder).glob("*.dist-info/entry_points.txt")):
            text = f"\n{file.read_text(encoding='utf-8')}"
            _, found, group = text.partition("\n[sv2r]\n")
            distribution = file.parent.name.partition("-")[0]
            for line in group.partition("\n[")[0].splitlines() if found else ():
                name, equals, module = (part.strip() for part in line.partition("="))
                if equals:
                    yield name, module, distribution.replace("_", "-")


def _plugin_commands() -> Mapping[str, click.Command]:
    """Return the plugins' commands; no plugin is loaded where none can bring any."""
    if not any(True for _ in _with_commands()):
        return {}
    from sv2r.plugin.registry import load_registry

    return load_registry().commands


def _text_with_commands(module: str) -> bytes | None:
    """Return a module's text if it names the hook, else None; nothing of it is run."""
    from importlib.util import find_spec

    top, *rest = module.split(".")
    spec = find_spec(top)  # of a package this runs nothing
    if spec is None or spec.origin is None:
        return None
    file = Path(spec.origin)
    if rest:
        file = file.parent.joinpath(*rest).with_suffix(".py")
    if not file.is_file():
        return b""  # a package within the package may have it anywhere
    text = file.read_bytes()
    return text if b"sv2r_commands" in text else None


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
    """Return a command's exit code; a user's mistake is one line on stderr, never a traceback."""
    # Torch's threads wait for each other in busy loops, which on cores that others use as well
    # makes a job several times slower. OpenMP reads this once, when torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        code = command.main(standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        return _failed(error.format_message(), 2)
    except click.ClickException as error:
        return _failed(f"Error: {error.format_message()}", 2)
    except (click.Abort, KeyboardInterrupt):
        return _failed("stopped; the same command goes on where it was", 130)
    except BrokenPipeError:
        sys.stderr.close()
        return 141
    except Sv2rError as error:
        return _failed(f"Error: {error}", 2 if isinstance(error, ConfigError) else 1)
    return code if isinstance(code, int) else 0


def _failed(line: str, code: int) -> int:
    click.echo(line, err=True)
    return code


if __name__ == "__main__":
    main()
