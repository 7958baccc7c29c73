#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""schema/protobuf.txt to a C table: protobuf.py INPUT OUTPUT."""

import sys

SCALARS = ["string", "bytes", "bool", "int", "double", "time", "microtime", "quantity",
           "intorstring", "json", "strings"]


def read(path):
    messages, fields = {}, None
    for line in open(path):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        if not line.startswith(" "):
            fields = messages[words[0]] = []
            continue
        number, name, kind = words
        fields.append((int(number), name, kind))
    return messages


def field_row(field, index):
    number, name, kind = field
    optional = kind.startswith("*")
    kind = kind.lstrip("*")
    shape = {"[]": "PROTO_LIST", "{}": "PROTO_MAP"}.get(kind[:2], "PROTO_ONE")
    base = kind[2:] if shape != "PROTO_ONE" else kind
    message = index.get(base, 0)
    scalar = "PROTO_MESSAGE" if base in index else "PROTO_" + base.upper()
    if base not in index and base not in SCALARS:
        sys.exit(f"{name}: no such type: {base}")
    text = "NULL" if name == "-" else f'"{name}"'
    return f"    {{ {text}, {number}, {message}, {scalar}, {shape}, {str(optional).lower()} }},"


def main():
    messages = read(sys.argv[1])
    names = sorted(messages)
    index = {name: i for i, name in enumerate(names)}
    rows, starts = [], []
    for name in names:
        starts.append(len(rows))
        rows += [field_row(field, index) for field in sorted(messages[name])]
    with open(sys.argv[2], "w") as out:
        print("/* Generated from schema/protobuf.txt. */", file=out)
        print("static const ProtoField PROTO_FIELDS[] = {", *rows, "};", sep="\n", file=out)
        print("static const ProtoMessage PROTO_MESSAGES[] = {", file=out)
        for name, start in zip(names, starts):
            print(f'    {{ "{name}", {start}, {len(messages[name])} }},', file=out)
        print("};", file=out)


main()
