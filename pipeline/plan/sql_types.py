"""Split the SQL types of nested columns into the types of their parts."""


def struct_fields(kind: str) -> list[tuple[str, str]]:
    """Split the SQL type of a struct, such as `STRUCT(a INTEGER, "b c" VARCHAR[])`, into names and types."""
    return [_split_field(field) for field in split_types(kind.removeprefix("STRUCT(").removesuffix(")"))]


def is_deeper(kind: str, levels: int) -> bool:
    """Return whether values of a SQL type are nested in more than a number of lists, structs and maps."""
    if kind.endswith("[]"):
        inner = [kind.removesuffix("[]")]
    elif kind.startswith("STRUCT("):
        inner = [each for _, each in struct_fields(kind)]
    elif kind.startswith("MAP("):
        inner = split_types(kind.removeprefix("MAP(").removesuffix(")"))
    else:
        return False
    return levels == 0 or any(is_deeper(each, levels - 1) for each in inner)


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
