"""What `descry status` tells, as rows of plain data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from indexer.library import Library
from indexer.photos.suffixes import REMEDIES
from indexer.storage.files import LINK, Failure, shown
from search.hits import GONE, why_unseen
from search.languages import EXTRA, REMEDY, is_here
from search.present.formats import Rows

# Kinds of files that are named, the most frequent first; the others are counted together.
NAMED = 8

# What is longer is no suffix, but the rest of a name behind a dot.
LONGEST_SUFFIX = 10


def status(library: Library) -> Rows:
    """What the library holds, where it comes from and what is amiss, a fact a row."""
    from indexer.reembedding import unfinished

    catalog = library.catalog
    change = unfinished(library)
    meta = catalog.meta()
    small, their_size = library.thumbnails_held()
    facts: dict[str, Any] = {
        "library": f"{library.path}",
        "encoder": f"{meta['encoder']} ({meta['checksum']}), {meta['dimension']} dimensions",
        **{f"{modality} items": count for modality, count in catalog.counts().items()},
        "size": f"{library.size() / 1e6:.1f} MB",
        "of which thumbnails": f"{their_size / 1e6:.1f} MB ({small} photos)",
        "failed": len(catalog.files.failures()),
        "changes not yet in a saved index": library.indexes.behind(),
        "other languages": f"by descry[{EXTRA}]" if is_here() else f"as far as the encoder goes; {REMEDY} adds them",
    }
    if any(words := catalog.words.counts()):
        facts["words in photos"] = f"read in {words[1]} of the {words[0]} that were looked at"
    if noted := len(catalog.files.notes()):
        facts["indexed, with something amiss"] = noted
    if passed_over := of_no_kind(catalog.files.passed_over()):
        facts["passed over"] = passed_over
    if change:
        facts["unfinished reembed"] = f"{change.encoder}, {change.items} items done; `descry reembed --model` goes on"
    rows = [{"what": what, "is": value} for what, value in facts.items()]
    return rows + [{"what": "folder", "is": f"{path}{_away(path)}"} for path in catalog.files.roots()]


def _away(root: Path) -> str:
    reason = why_unseen(root)
    return f" ({'not there now' if reason == GONE else reason})" if reason else ""


def of_no_kind(passed_over: Mapping[str, int]) -> str:
    """What a run passed over, in words; "" for nothing.

    >>> of_no_kind({".DOC": 4, ".doc": 1, ".MP4": 2})
    "7 files of kinds that Descry does not read: 5 .DOC, 2 .MP4; `pip install 'descry[video]'` gets what reads .MP4"
    """
    kinds: Counter[str] = Counter()
    spelled: dict[str, str] = {}
    for suffix, count in sorted(passed_over.items(), key=lambda row: -row[1]):
        if suffix != LINK:
            is_kind = suffix[1:].isalnum() and len(suffix) <= LONGEST_SUFFIX
            kinds[suffix.lower() if is_kind else "without a suffix"] += count
            spelled.setdefault(suffix.lower(), suffix)
    told = [f"{count} {spelled.get(kind, kind)}" for kind, count in kinds.most_common(NAMED) if count > 0]
    if rest := sum(kinds.values()) - sum(count for _, count in kinds.most_common(NAMED)):
        told.append(f"{rest} of others")
    links = passed_over.get(LINK, 0)
    files = sum(kinds.values())
    lines = [f"{_count(files, 'file')} of kinds that Descry does not read: {', '.join(told)}"] if files else []
    for remedy, suffixes in REMEDIES.items():
        if read := sorted(kinds.keys() & suffixes):
            lines.append(f"{remedy} {', '.join(spelled[kind] for kind in read)}")
    if links:
        lines.append(f"links to folders, not followed (--follow-links does): {links}")
    return "; ".join(lines)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def named(files: Iterable[Failure]) -> Rows:
    """Files, each with what is amiss."""
    return [{"path": shown(path), "reason": reason} for path, reason in files]
