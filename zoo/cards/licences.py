"""Licences by the identifiers that the Hub's metadata knows."""

from __future__ import annotations

UNKNOWN, OTHER = "unknown", "other"
# Source: huggingface/hub-docs, docs/hub/repositories-licenses.md; those of software, data and weights in general.
IDENTIFIERS = frozenset((
    "apache-2.0", "mit", "openrail", "afl-3.0", "artistic-2.0", "bsl-1.0", "bsd", "bsd-2-clause",
    "bsd-3-clause", "bsd-3-clause-clear", "c-uda", "cc", "cc0-1.0", "cc-by-2.0", "cc-by-2.5", "cc-by-3.0",
    "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nd-4.0",
    "cc-by-nc-nd-3.0", "cc-by-nc-nd-4.0", "cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0",
    "cdla-sharing-1.0", "cdla-permissive-1.0", "cdla-permissive-2.0", "ecl-2.0", "epl-1.0", "epl-2.0",
    "etalab-2.0", "eupl-1.1", "agpl-3.0", "gfdl", "gpl", "gpl-2.0", "gpl-3.0", "lgpl", "lgpl-2.1", "lgpl-3.0",
    "isc", "ms-pl", "mpl-2.0", "odc-by", "odbl", "openrail++", "osl-3.0", "ofl-1.1", "ncsa", "unlicense",
    "zlib", "pddl",
))  # fmt: skip


def license_metadata(stated: str | None, *, link: str | None) -> dict[str, str]:
    """The Hub's keys for a licence as it was stated, None if it was not.

    What is no identifier of the Hub's is "other", with `link` to where it is told; its words stand in the card's text.
    """
    if stated is None:
        return {"license": UNKNOWN}
    if stated.lower() in IDENTIFIERS:
        return {"license": stated.lower()}
    told = {"license": OTHER, "license_name": "as-stated-in-the-card"}
    return told if link is None else {**told, "license_link": link}
