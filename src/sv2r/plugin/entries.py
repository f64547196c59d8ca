"""What a plugin brought, or why it was left out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from sv2r.plugin.discovery import Owner

Kind = Literal["loader", "conditioner", "translator", "check", "writer", "executor", "trainer"]
Stage = Literal["metadata", "import", "hooks", "call", "type", "name", "clash"]


@dataclass(frozen=True)
class PluginFailure:
    """A plugin that was left out: at which stage, and the error in one line."""

    owner: Owner
    stage: Stage
    error: str

    def __str__(self) -> str:
        broke = f"{self.stage} failed" if self.stage in ("import", "call") else self.stage
        return f"plugin {self.owner} disabled: {broke}: {self.error}"


@dataclass(frozen=True)
class Entry:
    """Something that a plugin brought. value: a spec, a preset's file or a command."""

    kind: str
    name: str
    owner: Owner
    value: Any

    def __str__(self) -> str:
        return f"{self.kind} '{self.name}' of plugin {self.owner}"
