#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reads schema/kinds/*.kinds, the one place that states each Kubernetes kind, and writes what the
program needs:

    schema/kinds.py tables OUT.c      C tables of the built-in kinds (kobj/kinds.h)
    schema/kinds.py crds OUT.c        the CRDs of the Ray kinds as JSON texts in C
    schema/kinds.py yaml OUTDIR       the same CRDs as YAML files for kubectl apply

A file starts with `package SHORT NAME [crd]`. `type NAME` and `object NAME ...` begin a type; a
field is `  NAME TYPE[!] ATTRIBUTE... [-- description]`; `!` is required. TYPE is string, bytes,
time, microtime, int, int32, int64, number, float, bool, quantity, intOrString, object, any,
another type (`package.Name` from elsewhere), []TYPE or map[TYPE].

    listmap(a,b) set listatomic   x-kubernetes-list-type        merge(key) merge retainKeys
    atomic (crdatomic: in CRDs)   x-kubernetes-map-type          enum(a,b) nullable
    min= max= minlen= maxlen=     bounds                         pattern="..."
    unique                        keys of the list are checked   zero: 0 counts as absent
    unchecked                     kinds_*.c words the fault if it is missing
    dns1123-label port-name ...   the check of kobj/names.h      rule("cel", "message")
    = JSON                        default, also in OpenAPI and CRDs
    := JSON                       default that the server fills in, unseen in its OpenAPI
    inline                        a struct that is always there (Go: no pointer)

An `object` line adds: GROUP/VERSION plural singular short(..) categories(..) namespaced status
generation storage select(field paths); `column "NAME" TYPE JSONPATH [priority=1]` lines follow."""
import json
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
NAME_CHECKS = {"dns1123-label", "dns1123-subdomain", "dns1035-label", "port-name", "env-var",
               "qualified", "label-value"}
SCALARS = {
    "string": ("STRING", None), "bytes": ("STRING", "byte"), "time": ("STRING", "date-time"),
    "microtime": ("STRING", "microtime"), "int": ("INTEGER", None), "int32": ("INTEGER", "int32"),
    "int64": ("INTEGER", "int64"), "number": ("NUMBER", "double"), "float": ("NUMBER", "float"),
    "bool": ("BOOLEAN", None), "quantity": ("QUANTITY", None),
    "intOrString": ("INT_OR_STRING", None), "object": ("OBJECT", None), "any": ("ANY", None),
}
ZEROS = {"string": '""', "bytes": None, "int32": "0", "int64": "0", "bool": "false"}
QUANTITY = (r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|"
            r"([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$")
ATTRIBUTE = re.compile(
    r'\s*(?:(?P<rule>rule)\((?P<cel>"(?:[^"\\]|\\.)*"),\s*(?P<message>"(?:[^"\\]|\\.)*")\)'
    r'|(?P<pattern>pattern)=(?P<regex>"(?:[^"\\]|\\.)*")'
    r'|(?P<list>[a-zA-Z]+)\((?P<items>[^)]*)\)'
    r'|(?P<key>[a-z]+)=(?P<number>-?[0-9]+)'
    r'|(?P<word>[a-zA-Z0-9-]+))(?=\s|$)')


class Field:
    def __init__(self, where, line):
        text, _, self.description = line.partition(" -- ")
        match = re.match(r"\s+(\S+) (\S+?)(!?)(?=\s|$)", text)
        if not match:
            raise SystemExit(f"{where}: not a field: {line}")
        self.name, self.type, self.required = match[1], match[2], bool(match[3])
        rest = text[match.end():]
        self.default = self.server_default = None
        found = re.search(r"\s(:?=) (.*)$", rest)
        if found:
            json.loads(found[2])
            if found[1] == "=":
                self.default = found[2]
            else:
                self.server_default = found[2]
            rest = rest[:found.start()]
        self.words, self.lists, self.numbers, self.rules, self.pattern = set(), {}, {}, [], None
        position = 0
        while rest[position:].strip():
            found = ATTRIBUTE.match(rest, position)
            if not found:
                raise SystemExit(f"{where}: not an attribute: {rest[position:]}")
            position = found.end()
            if found["rule"]:
                self.rules.append((json.loads(found["cel"]), json.loads(found["message"])))
            elif found["pattern"]:
                self.pattern = json.loads(found["regex"])
            elif found["list"]:
                self.lists[found["list"]] = found["items"].split(",")
            elif found["key"]:
                self.numbers[found["key"]] = int(found["number"])
            else:
                self.words.add(found["word"])


class Type:
    def __init__(self, package, name, words):
        self.package, self.name, self.words = package, name, words
        self.fields, self.columns, self.description, self.alias = [], [], "", None


class Kind:
    """An `object` line: what discovery says of the kind."""

    def __init__(self, type_, words):
        self.type, self.name = type_, type_.name
        group, _, self.version = words[0].rpartition("/")
        self.group, self.plural, self.singular = group, words[1], words[2]
        self.words = {w for w in words[3:] if "(" not in w}
        self.lists = {m[1]: m[2].split(",") for m in
                      (re.match(r"(\w+)\((.*)\)$", w) for w in words[3:]) if m}


class Model:
    def __init__(self):
        self.types, self.packages, self.kinds = {}, {}, []
        for path in sorted((HERE / "kinds").glob("*.kinds")):
            self.read(path)

    def read(self, path):
        package = current = None
        for number, line in enumerate(path.read_text().splitlines(), 1):
            where = f"{path.name}:{number}"
            if not line.strip() or line.startswith("#"):
                continue
            words = line.split(" -- ")[0].split()
            if line.startswith('  column "'):
                found = re.match(r'\s+column "([^"]*)" (\w+) (\S+)( priority=1)?$', line)
                current.columns.append((found[1], found[2], found[3], bool(found[4])))
            elif line.startswith(" "):
                current.fields.append(Field(where, line))
            elif words[0] == "package":
                package = words[1]
                self.packages[package] = (words[2], "crd" in words[3:])
            elif words[0] in ("type", "object"):
                current = Type(package, words[1], set(words[2:]))
                current.description = line.partition(" -- ")[2]
                if "=" in words:
                    current.alias = words[words.index("=") + 1]
                self.types[package, words[1]] = current
                if words[0] == "object":
                    self.kinds.append(Kind(current, words[2:]))
            else:
                raise SystemExit(f"{where}: not a line of this format: {line}")

    def find(self, package, name):
        if "." in name:
            package, name = name.split(".")
        if (package, name) in self.types:
            return self.types[package, name]
        found = [t for (p, n), t in self.types.items() if n == name and not self.packages[p][1]]
        if len(found) != 1:
            raise SystemExit(f"type {name} of package {package}: {len(found)} candidates")
        return found[0]

    def is_crd(self, type_):
        return self.packages[type_.package][1]


def quote(text):
    return "NULL" if text is None else json.dumps(text, ensure_ascii=False).replace("??", "?\\?")


# --- C tables of the built-in kinds -------------------------------------------------------------

class Tables:
    def __init__(self, model):
        self.model, self.nodes, self.lines, self.type_ids, self.arrays = model, {}, [], {}, {}

    def strings(self, texts):
        if not texts:
            return "NULL"
        body = ", ".join(quote(t) for t in texts)
        if body not in self.arrays:
            self.arrays[body] = f"list_{len(self.arrays)}"
            self.lines.append(f"static const char *const {self.arrays[body]}[] = {{ {body}, NULL }};")
        return self.arrays[body]

    def node(self, **members):
        members.setdefault("max_count", "-1")
        body = ", ".join(f".{k} = {v}" for k, v in sorted(members.items()) if v not in ("NULL", None))
        if body not in self.nodes:
            self.nodes[body] = f"node_{len(self.nodes)}"
            self.lines.append(f"static const Schema {self.nodes[body]} = {{ {body} }};")
        return self.nodes[body]

    def plain(self, type_name, package, **more):
        """The node of a type expression with what the field adds."""
        flags = ["SCHEMA_BUILTIN"] + more.pop("flags", [])
        join = lambda extra=(): " | ".join(flags + list(extra))
        if type_name.startswith("[]"):
            items = self.plain(type_name[2:], package)
            return self.node(type="SCHEMA_ARRAY", items="&" + items, flags=join(), **more)
        if type_name.startswith("map["):
            value = self.plain(type_name[4:-1], package)
            return self.node(type="SCHEMA_OBJECT", additional="&" + value, flags=join(), **more)
        if type_name in SCALARS:
            kind, fmt = SCALARS[type_name]
            extra = []
            if type_name in ("time", "microtime"):
                extra = ["SCHEMA_NULLABLE"]
            if type_name in ("object", "any"):
                extra = ["SCHEMA_PRESERVE_UNKNOWN"]
            if fmt and "format" not in more:
                more["format"] = quote(fmt)
            return self.node(type="SCHEMA_" + kind, flags=join(extra), **more)
        found = self.model.find(package, type_name)
        if found.alias:
            return self.plain(found.alias, package, flags=flags[1:], **more)
        return self.struct(found, flags[1:], more)

    def struct(self, found, flags, more):
        """A named type: its fields are shared by all nodes that refer to it."""
        fields, count = self.fields(found)
        flags = ["SCHEMA_BUILTIN"] + flags + (["SCHEMA_ATOMIC"] if "atomic" in found.words else [])
        name = f"{self.model.packages[found.package][0]}.{found.name}"
        more["type_text"] = quote(found.description or None)
        return self.node(type="SCHEMA_OBJECT", flags=" | ".join(flags), fields=fields,
                         field_count=count, type_name=quote(name), **more)

    def fields(self, found):
        key = (found.package, found.name)
        if key not in self.type_ids:
            label = f"fields_{found.package}_{found.name}"
            fields = list(found.fields)
            if any(k.type is found for k in self.model.kinds):
                fields += [Field("", "  apiVersion string"), Field("", "  kind string")]
            self.type_ids[key] = (label, len(fields))
            self.lines.append(f"static const SchemaField {label}[{max(len(fields), 1)}];")
            rows = ", ".join(
                f"{{ {quote(f.name)}, &{self.field(f, found.package)}, {str(f.required).lower()} }}"
                for f in sorted(fields, key=lambda f: f.name.encode()))
            self.lines.append(f"static const SchemaField {label}[{max(len(fields), 1)}] = {{ {rows} }};")
        return self.type_ids[key]

    def field(self, field, package):
        more, flags = {}, []
        if "listmap" in field.lists:
            more["list"] = "SCHEMA_LIST_MAP"
            more["list_keys"] = self.strings(field.lists["listmap"])
        elif "set" in field.words:
            more["list"] = "SCHEMA_LIST_SET"
        if "merge" in field.lists:
            more["patch_key"] = quote(field.lists["merge"][0])
        named = {"nullable": "NULLABLE", "atomic": "ATOMIC", "unique": "UNIQUE", "merge": "PATCH_MERGE",
                 "retainKeys": "RETAIN_KEYS", "zero": "ZERO_ABSENT", "unchecked": "UNCHECKED"}
        flags += ["SCHEMA_" + flag for word, flag in named.items()
                  if word in field.words or (word == "merge" and "merge" in field.lists)]
        for key, flag, member in (("min", "HAS_MIN", "minimum"), ("max", "HAS_MAX", "maximum")):
            if key in field.numbers:
                flags.append("SCHEMA_" + flag)
                more[member] = field.numbers[key]
        for check in NAME_CHECKS & field.words:
            more["format"] = quote(check)
        if "enum" in field.lists:
            more["enum_values"] = self.strings([json.dumps(v) for v in field.lists["enum"]])
        default = field.default or field.server_default
        if "inline" in field.words:
            default = "{}"
        elif field.required and default is None:
            default = ZEROS.get(field.type)
        if default is not None:
            more["default_text"] = quote(default)
        if field.server_default is not None:
            flags.append("SCHEMA_SERVER_DEFAULT")
        more["description"] = quote(field.description or None)
        return self.plain(field.type, package, flags=flags, **more)

    def kind(self, kind):
        root = self.struct(kind.type, [], {})
        flags = [flag for word, flag in (("namespaced", "KIND_NAMESPACED"), ("status", "KIND_STATUS"),
                                         ("generation", "KIND_GENERATION")) if word in kind.words]
        select = ["metadata.name", "metadata.namespace"] + kind.lists.get("select", [])
        return (f"{{ .group = {quote(kind.group)}, .version = {quote(kind.version)}, "
                f".kind = {quote(kind.name)}, .plural = {quote(kind.plural)}, "
                f".singular = {quote(kind.singular)}, .list_kind = {quote(kind.name + 'List')}, "
                f".short_names = {self.strings(kind.lists.get('short')) if 'short' in kind.lists else 'none'}, "
                f".categories = {self.strings(kind.lists.get('categories')) if 'categories' in kind.lists else 'none'}, "
                f".select_fields = {self.strings(select)}, .flags = {' | '.join(flags) or '0'}, "
                f".schema = &{root} }},")

    def text(self):
        rows = [self.kind(k) for k in self.model.kinds if not self.model.is_crd(k.type)]
        return "\n".join(["/* Made by schema/kinds.py. */", '#include "kobj/kinds_private.h"', "",
                          "static const char *const none[] = { NULL };", *self.lines, "",
                          "const KindInfo kinds_table[] = {", *rows, "};",
                          "const size_t kinds_table_len = ARRAY_LEN(kinds_table);", ""])


# --- CRDs ---------------------------------------------------------------------------------------

POD_TEMPLATE = ("core", "PodTemplateSpec")


class Crds:
    """`open_templates`: pod templates are free-form, to keep old versions small."""

    def __init__(self, model):
        self.model = model

    def schema(self, type_name, package, open_templates):
        again = lambda name: self.schema(name, package, open_templates)
        if type_name.startswith("[]"):
            return {"items": again(type_name[2:]), "type": "array"}
        if type_name.startswith("map["):
            return {"additionalProperties": again(type_name[4:-1]), "type": "object"}
        if type_name in ("quantity", "intOrString"):
            out = {"anyOf": [{"type": "integer"}, {"type": "string"}], "x-kubernetes-int-or-string": True}
            return out | ({"pattern": QUANTITY} if type_name == "quantity" else {})
        if type_name == "any":
            return {"x-kubernetes-preserve-unknown-fields": True}
        if type_name in SCALARS:
            kind, fmt = SCALARS[type_name]
            out = {"type": kind.lower()}
            fmt = "date-time" if fmt == "microtime" else fmt
            return out | ({"format": fmt} if fmt and type_name != "number" else {})
        found = self.model.find(package, type_name)
        if found.alias:
            return again(found.alias)
        if open_templates and (found.package, found.name) == POD_TEMPLATE:
            return {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        return self.struct(found, open_templates)

    def struct(self, found, open_templates):
        fields = found.fields
        if (found.package, found.name) == ("meta", "ObjectMeta"):
            keep = ("annotations", "finalizers", "labels", "name", "namespace")
            fields = [Field("", "  " + n + " " + t) for n, t in
                      zip(keep, ("map[string]", "[]string", "map[string]", "string", "string"))]
        out = {"type": "object", "properties": {}}
        if any(k.type is found for k in self.model.kinds):
            out["properties"] = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}}
            if self.model.is_crd(found):
                out["properties"]["metadata"] = {"type": "object"}
        for field in fields:
            out["properties"][field.name] = self.field(field, found, open_templates)
        out["properties"] = dict(sorted(out["properties"].items()))
        required = sorted(f.name for f in fields if f.required)
        if required:
            out["required"] = required
        if {"atomic", "crdatomic"} & found.words:
            out["x-kubernetes-map-type"] = "atomic"
        return out

    def field(self, field, owner, open_templates):
        own = self.model.is_crd(owner) or owner.package == "meta"
        out = self.schema(field.type, owner.package, open_templates)
        if "listmap" in field.lists:
            out |= {"x-kubernetes-list-map-keys": field.lists["listmap"], "x-kubernetes-list-type": "map"}
        elif "set" in field.words:
            out["x-kubernetes-list-type"] = "set"
        elif "listatomic" in field.words:
            out["x-kubernetes-list-type"] = "atomic"
        if "atomic" in field.words:
            out["x-kubernetes-map-type"] = "atomic"
        if field.default is not None:
            out["default"] = json.loads(field.default)
        array = field.type.startswith("[]")
        for key, name in (("minlen", "minItems" if array else "minLength"),
                          ("maxlen", "maxItems" if array else "maxLength")):
            if key in field.numbers:
                out[name] = field.numbers[key]
        if field.pattern:
            out["pattern"] = field.pattern
        if not own:
            return out
        if field.description:
            out["description"] = field.description
        if "enum" in field.lists:
            out["enum"] = field.lists["enum"]
        if "nullable" in field.words:
            out["nullable"] = True
        for key, name in (("min", "minimum"), ("max", "maximum")):
            if key in field.numbers:
                out[name] = field.numbers[key]
        if field.rules:
            out["x-kubernetes-validations"] = [{"message": m, "rule": r} for r, m in field.rules]
        return out

    def version(self, kind):
        storage = "storage" in kind.words
        schema = self.struct(kind.type, not storage)
        if kind.type.description:
            schema["description"] = kind.type.description
        out = {"name": kind.version, "served": True, "storage": storage,
               "schema": {"openAPIV3Schema": schema}, "subresources": {"status": {}}}
        if not storage:
            out |= {"deprecated": True}
        if kind.type.columns:
            out["additionalPrinterColumns"] = [
                {"jsonPath": path, "name": name, "type": type_} | ({"priority": 1} if wide else {})
                for name, type_, path, wide in kind.type.columns]
        return out

    def all(self):
        by_name = {}
        for kind in self.model.kinds:
            if self.model.is_crd(kind.type):
                by_name.setdefault((kind.group, kind.name), []).append(kind)
        return [self.crd(kinds) for kinds in by_name.values()]

    def crd(self, kinds):
        kinds = sorted(kinds, key=lambda k: "storage" not in k.words)
        first = kinds[0]
        names = {"categories": first.lists.get("categories", []), "kind": first.name,
                 "listKind": first.name + "List", "plural": first.plural, "singular": first.singular}
        return {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
                "metadata": {"name": f"{first.plural}.{first.group}"},
                "spec": {"group": first.group, "names": names, "scope": "Namespaced",
                         "versions": [self.version(k) for k in kinds]}}


def c_text(text):
    """In pieces that the compiler joins: lines of a source file should end some day."""
    pieces = [text[i:i + 2000] for i in range(0, len(text), 2000)]
    return "\n".join("    " + json.dumps(piece).replace("??", "?\\?") for piece in pieces)


def crds_text(crds):
    texts = [json.dumps(crd, separators=(",", ":")) for crd in crds]
    body = "".join(f"static const char crd_{i}[] =\n{c_text(t)};\n" for i, t in enumerate(texts))
    names = ", ".join(f"crd_{i}" for i in range(len(texts)))
    return ('/* Made by schema/kinds.py. */\n#include "kobj/kinds_private.h"\n\n' + body +
            f"\nconst char *const kinds_ray_crd_texts[] = {{ {names}, NULL }};\n")


def yaml_lines(value, indent=""):
    """Block style with every scalar in JSON's form, which is YAML too."""
    if isinstance(value, dict) and value:
        for key, item in value.items():
            label = key if re.fullmatch(r"[A-Za-z_$][\w./$-]*", key) and key not in (
                "y", "n", "yes", "no", "on", "off", "true", "false", "null") else json.dumps(key)
            yield from yaml_item(indent + label + ":", item, indent + "  ")
    elif isinstance(value, list) and value:
        for item in value:
            lines = list(yaml_lines(item, indent + "  "))
            yield indent + "- " + lines[0].lstrip()
            yield from lines[1:]
    else:
        yield indent + json.dumps(value)


def yaml_item(head, value, indent):
    if isinstance(value, (dict, list)) and value:
        yield head
        yield from yaml_lines(value, indent)
    else:
        yield f"{head} {json.dumps(value)}"


def main():
    what, out = sys.argv[1], pathlib.Path(sys.argv[2])
    model = Model()
    if what == "tables":
        out.write_text(Tables(model).text())
    elif what == "crds":
        out.write_text(crds_text(Crds(model).all()))
    elif what == "yaml":
        out.mkdir(parents=True, exist_ok=True)
        for crd in Crds(model).all():
            path = out / f"ray.io_{crd['spec']['names']['plural']}.yaml"
            path.write_text("\n".join(yaml_lines(crd)) + "\n")
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
