"""Checks everything that folders contain and turns it into the rows of a leaderboard."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from zoo.cards.leaderboard_schema import LeaderboardEntry, read_entry, write_entry
from zoo.checkpoints.checkpoint import read_spec
from zoo.errors import ZooError
from zoo.leaderboard.audit import AuditReport, audit_faults, audit_in_words
from zoo.leaderboard.checkpoints import checkpoint_faults, entry_of
from zoo.leaderboard.entries import entry_faults, entry_row
from zoo.leaderboard.folders import Content, find
from zoo.leaderboard.publications import published_faults, published_row
from zoo.leaderboard.published import PublishedResult
from zoo.leaderboard.row import File, Row, Trace
from zoo.leaderboard.size import num_parameters
from zoo.models.layout import ROWS
from zoo.results.log import CertificationRow, parse_log

FILES = "files"

Reader = Callable[[dict[str, Any], Content], Sequence[Row] | None]
"""Turns a document of a further kind into rows; None if the document is of another kind.

Raises: ZooError or ValueError if the document contradicts itself.
"""


@dataclass(slots=True)
class Collection:
    """The rows, and the files that they come from by their name in the site."""

    rows: list[Row] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)


def collect(folders: Sequence[Path], *, readers: Sequence[Reader] = ()) -> Collection:
    """The rows of everything in the folders.

    Args:
        folders: Checkpoints, and folders of documents with their logs and audit reports.
        readers: Readers of further kinds of documents.

    Raises: ZooError that lists every contradiction, if a document contradicts its schema, itself or its log, or a log
    or an audit belongs to no document; RequestError if a folder cannot be read.
    """
    collector = _Collector(folders, readers)
    collector.run()
    if collector.faults:
        listed = "\n".join(f"- {fault}" for fault in collector.faults)
        raise ZooError(f"the leaderboard is not built, because documents are refused:\n{listed}")
    return Collection(rows=_with_ids(collector.rows), files=collector.files)


class _Collector:
    def __init__(self, folders: Sequence[Path], readers: Sequence[Reader]) -> None:
        self.found = find(folders)
        self.readers = readers
        self.rows: list[Row] = []
        self.files: dict[str, bytes] = {}
        self.faults: list[str] = []
        self.logs = {log.sha256: log for log in self.found.logs}
        self.claimed_logs: set[str] = set()
        self.audits: dict[tuple[str, str], tuple[Content, AuditReport]] = {}
        self.used_audits: set[tuple[str, str]] = set()

    def run(self) -> None:
        parsed = {document.sha256: (document, content) for document, content in self._parsed()}
        for document, content in parsed.values():
            if "refuted" in content:
                self._guarded(document.name, self._add_audit, document, content)
        for name, directory in self.found.checkpoints:
            self._guarded(name, self._add_checkpoint, directory, name)
        for document, content in parsed.values():
            if "refuted" not in content:
                self._guarded(document.name, self._add_document, document, content)
        self._refuse_strays()

    def _parsed(self) -> Iterator[tuple[Content, dict[str, Any]]]:
        for document in self.found.documents:
            try:
                yield document, document.parsed()
            except ValueError as error:
                self.faults.append(f"{document.name} is not a JSON document: {error}")

    def _guarded(self, name: str, add: Callable[..., None], *arguments: object) -> None:
        try:
            add(*arguments)
        except ValidationError as error:
            first = error.errors()[0]
            self.faults.append(f"{name}: {'.'.join(map(str, first['loc']))}: {first['msg']}")
        except (ZooError, ValueError, OSError) as error:
            self.faults.append(f"{name}: {error}")

    def _add_audit(self, document: Content, content: dict[str, Any]) -> None:
        report = AuditReport.model_validate(content)
        self.audits[report.weights_sha256, report.rows_sha256] = (document, report)

    def _add_checkpoint(self, directory: Path, name: str) -> None:
        faults = checkpoint_faults(directory)
        self.faults += [f"{name}: {fault}" for fault in faults]
        if faults:
            return
        if (directory / ROWS).is_file():
            log = Content(f"{name}/{ROWS}", (directory / ROWS).read_bytes())
            self.logs[log.sha256] = log
        entry = entry_of(directory)
        document = Content(f"{name}/leaderboard.json", write_entry(entry).encode())
        self._add_entry(entry, document, class_names=read_spec(directory).certified.class_names)

    def _add_document(self, document: Content, content: dict[str, Any]) -> None:
        if content.get("kind") == "published":
            self._add_published(PublishedResult.model_validate_json(document.data), document)
        elif "measured" in content:
            self._add_entry(read_entry(document.data.decode(), source=document.name), document, class_names=())
        else:
            self._add_other(document, content)

    def _add_other(self, document: Content, content: dict[str, Any]) -> None:
        for reader in self.readers:
            rows = reader(content, document)
            if rows is not None:
                document_file = self._keep(document, ".json")
                self.rows += [_traced(row, document=document_file) for row in rows]
                return
        raise ValueError("it is not a leaderboard entry, a published result, a result of a study or an audit")

    def _add_entry(self, entry: LeaderboardEntry, document: Content, *, class_names: Sequence[str]) -> None:
        certified = entry.measured.certified
        log, rows = self._log_of(None if certified is None else certified.rows_sha256)
        audit, report = self._audit_of(entry)
        faults = entry_faults(entry, rows) + ([] if report is None else audit_faults(report, entry))
        self.faults += [f"{document.name}: {fault}" for fault in faults]
        trace = Trace(document=self._keep(document, ".json"), log=log, audit=audit, weights_sha256=entry.weights_sha256)
        row = entry_row(entry, rows, class_names=class_names, trace=trace, num_parameters=num_parameters(entry))
        if report is not None:
            facts = (*row.facts, ("Audit", audit_in_words(report)))
            row = row.model_copy(update={"status": "audited", "facts": facts})
        self.rows.append(row)

    def _add_published(self, published: PublishedResult, document: Content) -> None:
        log, rows = self._log_of(None if published.log is None else published.log.sha256)
        self.faults += [f"{document.name}: {fault}" for fault in published_faults(published, rows)]
        source = published.source
        if log is not None and published.log is not None:
            log = log.model_copy(update={"url": published.log.url})
        trace = Trace(
            document=self._keep(document, ".json"),
            log=log,
            citation=source.citation,
            place=source.place,
            url=source.url,
        )
        self.rows.append(published_row(published, rows, trace=trace))

    def _log_of(self, sha256: str | None) -> tuple[File | None, list[CertificationRow] | None]:
        """The log with this hash and its rows; only its hash if it is not in the folders; None if no log is named."""
        if sha256 is None:
            return None, None
        log = self.logs.get(sha256)
        if log is None:
            return File(name="no copy here", sha256=sha256), None
        self.claimed_logs.add(sha256)
        return self._keep(log, ".tsv"), parse_log(log.data.decode(errors="replace"), source=log.name)

    def _audit_of(self, entry: LeaderboardEntry) -> tuple[File | None, AuditReport | None]:
        certified = entry.measured.certified
        key = (entry.weights_sha256, "" if certified is None else certified.rows_sha256 or "")
        if key not in self.audits:
            return None, None
        document, report = self.audits[key]
        self.used_audits.add(key)
        return self._keep(document, ".json"), report

    def _keep(self, content: Content, suffix: str) -> File:
        href = f"{FILES}/{content.sha256}{suffix}"
        self.files[href] = content.data
        return File(name=content.name, sha256=content.sha256, href=href)

    def _refuse_strays(self) -> None:
        for sha256, log in self.logs.items():
            if sha256 not in self.claimed_logs:
                self.faults.append(f"{log.name}: no document names this log, whose SHA-256 is {sha256}")
        for key, (document, _) in self.audits.items():
            if key not in self.used_audits:
                weights, rows = key
                named = f"weights {weights} and log {rows}"
                self.faults.append(f"{document.name}: no document has the {named} that it audited")


def _traced(row: Row, *, document: File) -> Row:
    return row.model_copy(update={"trace": row.trace.model_copy(update={"document": document})})


def _with_ids(rows: Sequence[Row]) -> list[Row]:
    """The rows with distinct ids for links: the name, and the start of the document's hash where names are equal."""
    times = Counter(row.name for row in rows)
    named = [row.name if times[row.name] == 1 else f"{row.name}~{row.trace.document.sha256[:8]}" for row in rows]
    seen: Counter[str] = Counter()
    identified = []
    for row, name in zip(rows, named, strict=True):
        seen[name] += 1
        identified.append(row.model_copy(update={"id": name if seen[name] == 1 else f"{name}~{seen[name]}"}))
    return identified
