"""Checks documents against the models of KServe's own package. Runs where it is installed.

Usage: python kserve_documents.py FILE.json, a list of documents. Prints each key and type that KServe does not know.
"""

import json
import re
import sys
from pathlib import Path

import kserve.models
import kubernetes.client

PLAIN = {"str": str, "int": int, "bool": bool, "float": (int, float)}


def complaints(value, type_name, place):
    """What is wrong with a value of a type, as the packages name it."""
    if match := re.fullmatch(r"[lL]ist\[(.+)\]", type_name):
        if not isinstance(value, list):
            return [f"{place} is not a list"]
        return [each for index, item in enumerate(value) for each in complaints(item, match[1], f"{place}[{index}]")]
    if match := re.fullmatch(r"(?:dict\(|Dict\[)str, (.+)[)\]]", type_name):
        return [each for key, item in value.items() for each in complaints(item, match[1], f"{place}.{key}")]
    if type_name in PLAIN:
        return [] if isinstance(value, PLAIN[type_name]) else [f"{place} is not of type {type_name}"]
    if type_name in ("object", "ResourceQuantity", "K8sIoApimachineryPkgApiResourceQuantity"):
        return []
    model = getattr(kserve.models, type_name, None) or getattr(kubernetes.client, type_name, None)
    if model is None:
        return [f"{place}: unknown type {type_name}"]
    if not isinstance(value, dict):
        return [f"{place} is not an object"]
    names = {key: name for name, key in model.attribute_map.items()}
    unknown = [f"{place}.{key} is not known to {type_name}" for key in value if key not in names]
    known = [(key, model.openapi_types[names[key]]) for key in value if key in names]
    return unknown + [each for key, kind in known for each in complaints(value[key], kind, f"{place}.{key}")]


def main():
    for document in json.loads(Path(sys.argv[1]).read_text()):
        group, version = document["apiVersion"].split("/")
        assert group == "serving.kserve.io"
        name = f"V{version.removeprefix('v')}{document['kind']}"
        for complaint in complaints(document, name, document["kind"]):
            print(complaint)


if __name__ == "__main__":
    main()
