from __future__ import annotations

import sys
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import pytest

from sv2r.errors import ConfigError
from sv2r.plugin.registry import Registry, load_registry
from sv2r.testing import ContractError, check_plugin

Good = Callable[[str], str]

HEAD = "from sv2r import CheckSpec, ConditionerSpec, Options, hookimpl\n"
CHECK = "CheckSpec(name={name!r}, summary='s', options={options}, build=print)"


def _check(name: str = "brought", options: str = "Options") -> str:
    return CHECK.format(name=name, options=options)


def _hook(body: str, name: str = "sv2r_checks") -> str:
    return f"{HEAD}@hookimpl\ndef {name}():\n    {body}\n"


HOOKS = (
    "sv2r_loaders, sv2r_conditioners, sv2r_translators, sv2r_checks, sv2r_writers, "
    "sv2r_executors, sv2r_trainers, sv2r_presets, sv2r_commands"
)
UNFINISHED = f"""
from __future__ import annotations
{HEAD}
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    from pathlib import Path
class Mine(Options):
    folder: Path
@hookimpl
def sv2r_checks():
    return [{_check(options="Mine")}]
"""
NO_SCHEMA = f"""
from collections.abc import Callable
{HEAD}
class Mine(Options):
    key: Callable[[int], int] = abs
@hookimpl
def sv2r_checks():
    return [{_check(options="Mine")}]
"""

# What is wrong with a plugin -> the stage that its failure names, and the error, whole.
BROKEN: dict[str, tuple[str, str, str]] = {
    "import-error": (
        "import haze_net",
        "import failed",
        "ModuleNotFoundError: No module named 'haze_net'",
    ),
    "exits": ("import sys; sys.exit('no licence')", "import failed", "SystemExit: no licence"),
    "syntax": ("def", "import failed", "SyntaxError: invalid syntax (sv2r_syntax.py, line 1)"),
    "misnamed": (
        _hook("return []", "sv2r_check"),
        "hooks",
        "no hook sv2r_check; did you mean sv2r_checks?",
    ),
    "no-hooks": (
        f"{HEAD}def sv2r_checks():\n    return [{_check()}]\n",
        "hooks",
        f"it implements no hook; put @hookimpl on a function named {HOOKS}",
    ),
    "late": (
        _hook(f"yield {_check()}\n    raise OSError('the\\nlicence server is down')"),
        "call failed",
        "sv2r_checks: OSError: the licence server is down",
    ),
    "exits-late": (_hook("raise SystemExit(3)"), "call failed", "sv2r_checks: SystemExit: 3"),
    "none": (_hook("return None"), "type", "sv2r_checks returned NoneType, not a list"),
    "not-a-list": (
        _hook(f"return {_check()}"),
        "type",
        "sv2r_checks returned CheckSpec, not a list",
    ),
    "wrong-type": (
        _hook(f"return [{_check()}]", "sv2r_conditioners"),
        "type",
        "sv2r_conditioners returned CheckSpec, not ConditionerSpec",
    ),
    "loose-options": (
        _hook(f"return [{_check(options='dict')}]"),
        "type",
        "check 'brought': options is not a subclass of Options",
    ),
    "bad-name": (
        _hook(f"return [{_check('Brought_It')}]"),
        "name",
        "check name 'Brought_It' does not match [a-z][a-z0-9-]*",
    ),
    "no-command": (
        _hook("return [print]", "sv2r_commands"),
        "type",
        "sv2r_commands returned builtin_function_or_method, not click.Command",
    ),
    "no-preset": (
        _hook("return ['a.yaml']", "sv2r_presets"),
        "type",
        "sv2r_presets returned 'a.yaml', not a YAML file",
    ),
    "options-without-schema": (
        NO_SCHEMA,
        "type",
        "check 'brought': options: Cannot generate a JsonSchema for core_schema.CallableSchema",
    ),
    "option-called-name": (
        f"{HEAD}class Mine(Options):\n    name: str = 'x'\n"
        + _hook(f"return [{_check(options='Mine')}]"),
        "type",
        "check 'brought': an option cannot be called name: a config calls the component itself so",
    ),
    "unfinished-options": (
        UNFINISHED,
        "type",
        "check 'brought': options: name 'Path' is not defined; import it outside of TYPE_CHECKING",
    ),
}


def _of(registry: Registry, distribution: str) -> list[str]:
    return [e.name for e in registry.entries if e.owner.distribution == distribution]


def _told(registry: Registry) -> list[str]:
    """Return what is told of third-party plugins that failed."""
    return [str(f) for f in registry.failures if f.owner.distribution != "sv2r"]


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_plugin_is_named_with_its_stage_and_its_neighbour_works(
    kind: str, site: Any, good: Good
) -> None:
    source, stage, error = BROKEN[kind]
    site.plugin(kind, source, version="0.2")
    site.plugin("good", good("good"))

    registry = load_registry()

    assert _told(registry) == [f"plugin '{kind}' (sv2r-{kind} 0.2) disabled: {stage}: {error}"]
    assert _of(registry, "sv2r-good") == ["good"]


@pytest.mark.parametrize("kind", BROKEN)
def test_nothing_of_a_broken_plugin_is_kept(kind: str, site: Any) -> None:
    source, _, _ = BROKEN[kind]
    site.plugin(kind, source)
    assert _of(load_registry(), f"sv2r-{kind}") == []


def test_a_plugin_that_is_good_in_one_hook_and_bad_in_the_next_brings_nothing(
    site: Any, good: Good
) -> None:
    site.plugin("half", good("half") + "\n@hookimpl\ndef sv2r_writers():\n    return [1]\n")

    registry = load_registry()

    assert _of(registry, "sv2r-half") == []
    failed = "plugin 'half' (sv2r-half 1.0) disabled: type: "
    assert _told(registry) == [f"{failed}sv2r_writers returned int, not WriterSpec"]


def test_a_clash_with_a_built_in_leaves_the_built_in(site: Any, good: Good) -> None:
    site.plugin("thief", good("sanity"))

    registry = load_registry()

    assert registry.entry("check", "sanity").owner.distribution == "sv2r"
    owners = "check 'sanity' is already provided by 'sanity'"
    told = f"plugin 'thief' (sv2r-thief 1.0) disabled: clash: {owners} (sv2r {version('sv2r')})"
    assert _told(registry) == [told]


def test_a_clash_between_two_plugins_names_both(site: Any, good: Good) -> None:
    site.plugin("a", good("same"))
    site.plugin("b", good("same"))

    registry = load_registry()

    assert registry.entry("check", "same").owner.distribution == "sv2r-a"
    assert _told(registry) == [
        (
            "plugin 'b' (sv2r-b 1.0) disabled: clash: "
            "check 'same' is already provided by 'a' (sv2r-a 1.0)"
        )
    ]


def test_one_plugin_that_brings_a_name_twice_is_left_out(site: Any) -> None:
    site.plugin("twice", _hook(f"return [{_check()}, {_check()}]"))
    registry = load_registry()
    assert _of(registry, "sv2r-twice") == []
    assert "check 'brought' is already provided by 'twice'" in _told(registry)[0]


def test_the_order_of_installation_changes_nothing(site: Any, good: Good) -> None:
    for kind, (source, _, _) in BROKEN.items():
        site.plugin(kind, source)
    for name, brings in {"a": "same", "b": "same", "z": "sanity", "good": "good"}.items():
        site.plugin(name, good(brings))

    first = load_registry()
    sys.path.reverse()
    second = load_registry()

    assert len(_told(first)) == len(BROKEN) + 2
    assert _told(second) == _told(first)
    assert [(e.kind, e.name, e.owner) for e in second.entries] == [
        (e.kind, e.name, e.owner) for e in first.entries
    ]


def test_a_plugin_may_serve_hooks_of_a_newer_sv2r(site: Any, good: Good) -> None:
    newer = "\n@hookimpl(optionalhook=True)\ndef sv2r_reports():\n    return []\n"
    site.plugin("modern", good("modern") + newer)
    assert _of(load_registry(), "sv2r-modern") == ["modern"]


def test_a_distribution_with_damaged_metadata_stops_nobody(site: Any, good: Good) -> None:
    folder = site.plugin("damaged", good("damaged"))
    next(folder.glob("*.dist-info/METADATA")).write_text("")
    site.plugin("good", good("good"))

    registry = load_registry()

    assert registry.entry("check", "damaged").owner.distribution == "sv2r-damaged"
    assert _of(registry, "sv2r-good") == ["good"]


def test_an_interrupt_is_not_taken_for_a_broken_plugin(site: Any) -> None:
    site.plugin("slow", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        load_registry()


@pytest.mark.parametrize(
    ("words", "left"),
    [
        ("", ["first", "second", "third"]),
        ("one", ["second", "third"]),
        ("sv2r-both", ["third"]),
        (" two , sv2r-third ", ["first"]),
        ("*", []),
        ("thir", ["first", "second", "third"]),
    ],
)
def test_plugins_are_disabled_by_their_own_or_their_distributions_name(
    words: str, left: list[str], site: Any, good: Good, monkeypatch: pytest.MonkeyPatch
) -> None:
    modules = {"both_one": good("first"), "both_two": good("second")}
    site.install("sv2r-both", "1.0", modules, {"one": "both_one", "two": "both_two"})
    site.plugin("third", good("third"))
    monkeypatch.setenv("SV2R_DISABLE_PLUGINS", words)

    registry = load_registry()

    assert _of(registry, "sv2r-both") + _of(registry, "sv2r-third") == left
    disabled = [o for o in registry.disabled if o.distribution in ("sv2r-both", "sv2r-third")]
    assert len(disabled) == 3 - len(left)
    assert registry.entry("check", "sanity")


def test_a_disabled_plugin_is_not_imported(site: Any) -> None:
    site.plugin("loud", "raise RuntimeError('imported')")
    registry = load_registry(disable="loud")
    assert _told(registry) == []
    assert "sv2r_loud" not in sys.modules


def test_who_asks_for_what_a_failed_plugin_would_have_brought_is_told(site: Any) -> None:
    site.plugin("haze", "import haze_net", version="0.2")
    with pytest.raises(ConfigError) as caught:
        load_registry().spec("conditioner", "haze-depth")
    assert str(caught.value).endswith(
        "; plugin 'haze' (sv2r-haze 0.2) disabled: import failed: "
        "ModuleNotFoundError: No module named 'haze_net'"
    )


def test_a_name_is_looked_up_in_every_kind(site: Any, good: Good) -> None:
    both = good("twin") + (
        "\nfrom sv2r import ConditionerSpec\n@hookimpl\ndef sv2r_conditioners():\n"
        "    return [ConditionerSpec(name='twin', summary='s', options=GoodOptions, build=build,"
        " produces='twin')]\n"
    )
    site.plugin("twins", both)

    registry = load_registry()

    assert [e.kind for e in registry.named("twin")] == ["conditioner", "check"]
    assert [e.kind for e in registry.named("check:twin")] == ["check"]
    assert [e.name for e in registry.named("twins")] == ["twin", "twin"]
    with pytest.raises(ConfigError, match="no writer 'twin'"):
        registry.named("writer:twin")
    with pytest.raises(ConfigError, match="no component 'twni'; did you mean twin"):
        registry.named("twni")


def test_a_plugin_that_cannot_build_is_told_apart_by_its_contract(site: Any, good: Good) -> None:
    source = good("unbuilt").replace("return lambda", "raise OSError('no weights'); lambda")
    site.plugin("unbuilt", source)
    with pytest.raises(ContractError) as caught:
        check_plugin("unbuilt")
    assert str(caught.value) == "check 'unbuilt' must build: OSError: no weights"


def test_the_contract_of_a_failed_plugin_is_its_failure(site: Any) -> None:
    site.plugin("haze", "import haze_net")
    with pytest.raises(ContractError, match=r"'haze' \(sv2r-haze 1\.0\) disabled: import failed"):
        check_plugin("haze")


def test_a_command_named_like_one_of_sv2rs_own_is_a_clash(site: Any, good: Good) -> None:
    command = (
        "\nimport click\n@hookimpl\ndef sv2r_commands():\n"
        "    return [click.Command('convert', callback=lambda: print('mine'))]\n"
    )
    site.plugin("bold", good("bold") + command)

    registry = load_registry()

    owner = f"'convert' (sv2r {version('sv2r')})"
    assert _told(registry) == [
        (
            f"plugin 'bold' (sv2r-bold 1.0) disabled: clash: "
            f"command 'convert' is already provided by {owner}"
        )
    ]
    assert _of(registry, "sv2r-bold") == []
