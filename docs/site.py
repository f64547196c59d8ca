"""What mkdocs needs next to the pages: the READMEs of plugins, and links that stay in the site."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from posixpath import normpath
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)#\s]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: Any) -> Files:
    """Add each plugin's README to the site, as NAME.md."""
    for readme in sorted(ROOT.glob("plugins/*/README.md")):
        name = readme.parent.name
        text = relinked(readme.read_text(encoding="utf-8"), PurePosixPath("plugins", name))
        files.append(File.generated(config, f"{name}.md", content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Return a page whose links to files outside of docs/ lead to what the site has of them."""
    if "/" in page.file.src_uri or not (ROOT / "docs" / page.file.src_uri).is_file():
        return markdown
    return relinked(markdown, PurePosixPath("docs"))


def relinked(text: str, folder: PurePosixPath) -> str:
    """Return Markdown of a file in a folder of the checkout with the links of a page in docs/.

    A link to what the site does not have, such as a source file, becomes its text.
    """

    def link(match: re.Match[str]) -> str:
        words, target, anchor = match[1], match[2], match[3] or ""
        if "://" in target or target.startswith("mailto:"):
            return match[0]
        where = PurePosixPath(normpath(folder / target))
        if where.parts[0] == "docs":
            return f"[{words}]({where.relative_to('docs')}{anchor})"
        if where.parts[0] == "plugins" and where.parts[2:] in ((), ("README.md",)):
            return f"[{words}]({where.parts[1]}.md{anchor})"
        return words

    return _LINK.sub(link, text)
