"""Example requests in curl, Python, JavaScript, PHP and Go, to copy from the API pages."""

import json
import shlex
from dataclasses import dataclass
from typing import Any

KEY = "cwz_live_…"
FILE = "products.csv"
MAX_LINE = 80
INDENT = " " * 4
GO_CHECK = "\tif err != nil {\n\t\tlog.Fatal(err)\n\t}\n"


@dataclass(frozen=True)
class Example:
    """An example request.

    Attributes:
        body: the JSON body, if any.
        sends_file: whether the body is a file instead.
        response: what the response contains: an `image`, `json`, or `nothing`.
    """

    method: str
    url: str
    body: Any = None
    sends_file: bool = False
    response: str = "json"

    @property
    def headers(self) -> dict[str, str]:
        """The request headers; libraries add the Content-Type of JSON on their own."""
        accept = {"Accept": "image/png"} if self.response == "image" else {}
        return {"Authorization": f"Bearer {KEY}"} | accept | ({"Content-Type": "text/csv"} if self.sends_file else {})

    def json(self, indent: str = "", step: int = 2) -> str:
        """Return the JSON body; it is also Python, because no example contains true, false or null.

        Args:
            indent: the indent of the line that it is in, if it is long and has several.
            step: how many spaces each level has.
        """
        text = json.dumps(self.body, ensure_ascii=False)
        if len(text) <= MAX_LINE:
            return text
        return json.dumps(self.body, ensure_ascii=False, indent=step).replace("\n", f"\n{indent}")


def curl(example: Example) -> str:
    """Return the request as a curl command."""
    lines = [f"curl -X {example.method} {example.url}"]
    lines += [f"-H {shlex.quote(f'{name}: {value}')}" for name, value in example.headers.items()]
    if example.sends_file:
        lines.append(f"--data-binary @{FILE}")
    if example.body:
        lines.append(f"--json {shlex.quote(example.json())}")
    if example.response == "image":
        lines.append("-o image.png")
    return " \\\n  ".join(lines)


def python(example: Example) -> str:
    """Return the request in Python, with requests."""
    arguments = [f'"{example.url}"', f"headers={json.dumps(example.headers, ensure_ascii=False)}"]
    if example.sends_file:
        arguments.append(f'data=open("{FILE}", "rb")')
    if example.body:
        arguments.append(f"json={example.json(INDENT, step=4)}")
    ending = {
        "image": 'with open("image.png", "wb") as file:\n    file.write(response.content)',
        "json": "print(response.json())",
        "nothing": "print(response.status_code)",
    }
    lines = "".join(f"    {argument},\n" for argument in arguments)
    return (
        f"import requests\n\nresponse = requests.{example.method.lower()}(\n{lines})\n"
        f"response.raise_for_status()\n{ending[example.response]}"
    )


def javascript(example: Example) -> str:
    """Return the request in JavaScript, as a Node module."""
    headers = example.headers | ({"Content-Type": "application/json"} if example.body else {})
    options = [f'method: "{example.method}"', f"headers: {json.dumps(headers, ensure_ascii=False)}"]
    if example.sends_file:
        options.append(f'body: await readFile("{FILE}")')
    if example.body:
        options.append(f"body: JSON.stringify({example.json('  ')})")
    ending = {
        "image": 'await writeFile("image.png", Buffer.from(await response.arrayBuffer()));',
        "json": "console.log(await response.json());",
        "nothing": "console.log(response.status);",
    }
    imports = [
        name for name, used in (("readFile", example.sends_file), ("writeFile", example.response == "image")) if used
    ]
    prologue = f'import {{ {", ".join(imports)} }} from "node:fs/promises";\n\n' if imports else ""
    lines = "".join(f"  {option},\n" for option in options)
    return (
        f'{prologue}const response = await fetch("{example.url}", {{\n{lines}}});\n'
        f"if (!response.ok) throw new Error(await response.text());\n{ending[example.response]}"
    )


def php(example: Example) -> str:
    """Return the request in PHP, with its curl extension."""
    headers = example.headers | ({"Content-Type": "application/json"} if example.body else {})
    options = [
        f"CURLOPT_CUSTOMREQUEST => {_php(example.method)}",
        f"CURLOPT_HTTPHEADER => {_php([f'{name}: {value}' for name, value in headers.items()], INDENT)}",
        "CURLOPT_RETURNTRANSFER => true",
    ]
    if example.sends_file:
        options.append(f"CURLOPT_POSTFIELDS => file_get_contents({_php(FILE)})")
    if example.body:
        options.append(f"CURLOPT_POSTFIELDS => json_encode({_php(example.body, INDENT)})")
    ending = {
        "image": "file_put_contents('image.png', $body);",
        "json": "print_r(json_decode($body, true));",
        "nothing": "echo $status;",
    }
    lines = "".join(f"    {option},\n" for option in options)
    return (
        f"<?php\n$request = curl_init({_php(example.url)});\ncurl_setopt_array($request, [\n{lines}]);\n"
        "$body = curl_exec($request);\n$status = curl_getinfo($request, CURLINFO_RESPONSE_CODE);\n"
        "if ($body === false || $status >= 400) {\n    throw new RuntimeException($body ?: curl_error($request));\n}\n"
        f"{ending[example.response]}"
    )


def _php(value: Any, indent: str = "") -> str:
    """Return strings, numbers, lists and objects as a PHP literal, on several lines if it is long."""
    inner = indent + INDENT
    match value:
        case str():
            escaped = value.replace("\\", "\\\\").replace("'", "\\'")
            return f"'{escaped}'"
        case dict() if not value:
            return "(object) []"  # without members, it would be encoded as a list
        case dict():
            parts = [f"{_php(name)} => {_php(member, inner)}" for name, member in value.items()]
        case list():
            parts = [_php(member, inner) for member in value]
        case _:
            return json.dumps(value)
    line = f"[{', '.join(parts)}]"
    if len(line) <= MAX_LINE:
        return line
    return "[\n" + "".join(f"{inner}{part},\n" for part in parts) + f"{indent}]"


def go(example: Example) -> str:
    """Return the request in Go, with its standard library."""
    headers = example.headers | ({"Content-Type": "application/json"} if example.body else {})
    body, lines, packages = "nil", "", ["io", "log", "net/http"]
    if example.sends_file:
        body, lines = "file", f'\tfile, err := os.Open("{FILE}")\n{GO_CHECK}'
    elif example.body:
        text = example.json()
        body = f"strings.NewReader({_go(text) if '`' in text else f'`{text}`'})"
        packages.append("strings")
    lines += f'\trequest, err := http.NewRequest("{example.method}", "{example.url}", {body})\n{GO_CHECK}'
    lines += "".join(f"\trequest.Header.Set({_go(name)}, {_go(value)})\n" for name, value in headers.items())
    lines += f"\tresponse, err := http.DefaultClient.Do(request)\n{GO_CHECK}\tdefer response.Body.Close()\n"
    lines += f"\tcontent, err := io.ReadAll(response.Body)\n{GO_CHECK}"
    lines += "\tif response.StatusCode >= 400 {\n\t\tlog.Fatal(string(content))\n\t}\n"
    if example.response == "image":
        lines += '\tif err := os.WriteFile("image.png", content, 0o644); err != nil {\n\t\tlog.Fatal(err)\n\t}\n'
    else:
        lines += "\tlog.Print(string(content))\n" if example.response == "json" else "\tlog.Print(response.Status)\n"
    if "os." in lines:
        packages.append("os")
    imports = "".join(f'\t"{package}"\n' for package in sorted(packages))
    return f"package main\n\nimport (\n{imports})\n\nfunc main() {{\n{lines}}}"


def _go(text: str) -> str:
    """Return a text as a Go literal, which has the escapes of JSON."""
    return json.dumps(text, ensure_ascii=False)


LANGUAGES = {"curl": curl, "Python": python, "JavaScript": javascript, "PHP": php, "Go": go}
