"""Split the SQL types of nested columns into the types of their parts."""


def struct_fields(kind: str) -> list[tuple[str, str]]:
    """Split the SQL type of a struct, such as `STRUCT(a INTEGER, "b c" VARCHAR[])`, into names and types."""
    return [_split_field(field) for field in split_types(kind.removeprefix("STRUCT(").removesuffix(")"))]


def split_types(text: str) -> list[str]:
    """Split SQL at the commas that are neither in parentheses nor in quotes."""
    parts, depth, quoted = [""], 0, False
    for character in text:
        quoted ^= character == '"'
        depth += 0 if quoted else {"(": 1, ")": -1}.get(character, 0)
        if character == "," and not depth and not quoted:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]


def _split_field(text: str) -> tuple[str, str]:
    if not text.startswith('"'):
        name, _, kind = text.partition(" ")
        return name, kind
    end = text.replace('""', "  ").index('"', 1)
    return text[1:end].replace('""', '"'), text[end + 2 :]
