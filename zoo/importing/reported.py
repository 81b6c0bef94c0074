"""Numbers that the authors of a foreign file report, read from a hand-written YAML list with their sources.

- what: certified accuracy at l2 radius 0.5
  value: 49.0
  unit: "%"
  task: imagenet
  conditions: sigma 0.5, n 100,000, alpha 0.001, 500 images
  source: Cohen et al. 2019, table 2
  url: https://arxiv.org/abs/1902.02918
"""

from __future__ import annotations

from pathlib import Path

import yaml
from pydantic import TypeAdapter, ValidationError

from zoo.errors import RequestError
from zoo.models.spec import ReportedNumber

EXAMPLE = "{what: accuracy, value: 76.1, task: imagenet, source: ...}"
_NUMBERS = TypeAdapter(tuple[ReportedNumber, ...])


def read_reported(path: Path) -> tuple[ReportedNumber, ...]:
    """The numbers in a file. Raises: RequestError that names the number and its fault, such as a missing source."""
    try:
        entries = yaml.safe_load(path.read_text())
    except OSError as error:
        raise RequestError(f"cannot read {path}: {error.strerror or error}") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise RequestError(f"{path} is not valid YAML: {str(error).splitlines()[0]}") from error
    if not isinstance(entries, list) or not entries:
        raise RequestError(f"{path} contains no list of numbers: expected entries such as {EXAMPLE}")
    try:
        return _NUMBERS.validate_python(tuple(entries))
    except ValidationError as error:
        first = error.errors()[0]
        number, *field = first["loc"]
        where = ".".join(map(str, field)) or "the entry"
        raise RequestError(
            f"{path}, number {int(number) + 1}: {where}: {first['msg']}; expected an entry such as {EXAMPLE}"
        ) from error
