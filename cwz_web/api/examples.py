"""Example requests in curl, Python and JavaScript, to copy from the API reference."""

import json
import shlex
from dataclasses import dataclass
from typing import Any

KEY = "cwz_live_…"
FILE = "products.csv"


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

    @property
    def json(self) -> str:
        """The JSON body; also valid Python, because no example contains true, false or null."""
        return json.dumps(self.body, ensure_ascii=False)


def curl(example: Example) -> str:
    """Return the request as a curl command."""
    lines = [f"curl -X {example.method} {example.url}"]
    lines += [f"-H {shlex.quote(f'{name}: {value}')}" for name, value in example.headers.items()]
    if example.sends_file:
        lines.append(f"--data-binary @{FILE}")
    if example.body:
        lines.append(f"--json {shlex.quote(example.json)}")
    if example.response == "image":
        lines.append("-o image.png")
    return " \\\n  ".join(lines)


def python(example: Example) -> str:
    """Return the request in Python, with requests."""
    arguments = [f'"{example.url}"', f"headers={json.dumps(example.headers, ensure_ascii=False)}"]
    if example.sends_file:
        arguments.append(f'data=open("{FILE}", "rb")')
    if example.body:
        arguments.append(f"json={example.json}")
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
        options.append(f"body: JSON.stringify({example.json})")
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


LANGUAGES = {"curl": curl, "Python": python, "JavaScript": javascript}
