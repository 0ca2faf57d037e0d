"""Calls of the API written out in curl, Python and JavaScript, for people to copy."""

import json
import shlex
from dataclasses import dataclass
from typing import Any

KEY = "cwz_live_…"
FILE = "products.csv"


@dataclass(frozen=True)
class Call:
    """A request.

    Attributes:
        body: what is sent as JSON, if anything.
        sends_file: a file is sent instead.
        gets: what comes back: a `image`, `json`, or `nothing`.
    """

    method: str
    address: str
    body: Any = None
    sends_file: bool = False
    gets: str = "json"

    @property
    def headers(self) -> dict[str, str]:
        """What is sent beside it; libraries that are given JSON add its Content-Type themselves."""
        accept = {"Accept": "image/png"} if self.gets == "image" else {}
        return {"Authorization": f"Bearer {KEY}"} | accept | ({"Content-Type": "text/csv"} if self.sends_file else {})

    @property
    def json(self) -> str:
        """The body; without true, false and null it is Python, too."""
        return json.dumps(self.body, ensure_ascii=False)


def curl(call: Call) -> str:
    """For a shell."""
    lines = [f"curl -X {call.method} {call.address}"]
    lines += [f"-H {shlex.quote(f'{name}: {value}')}" for name, value in call.headers.items()]
    if call.sends_file:
        lines.append(f"--data-binary @{FILE}")
    if call.body:
        lines.append(f"--json {shlex.quote(call.json)}")
    if call.gets == "image":
        lines.append("-o image.png")
    return " \\\n  ".join(lines)


def python(call: Call) -> str:
    """For Python, with requests."""
    arguments = [f'"{call.address}"', f"headers={json.dumps(call.headers, ensure_ascii=False)}"]
    if call.sends_file:
        arguments.append(f'data=open("{FILE}", "rb")')
    if call.body:
        arguments.append(f"json={call.json}")
    ending = {
        "image": 'with open("image.png", "wb") as file:\n    file.write(answer.content)',
        "json": "print(answer.json())",
        "nothing": "print(answer.status_code)",
    }
    told = "".join(f"    {argument},\n" for argument in arguments)
    return (
        f"import requests\n\nanswer = requests.{call.method.lower()}(\n{told})\n"
        f"answer.raise_for_status()\n{ending[call.gets]}"
    )


def javascript(call: Call) -> str:
    """For JavaScript, as a module in Node."""
    headers = call.headers | ({"Content-Type": "application/json"} if call.body else {})
    told = [f'method: "{call.method}"', f"headers: {json.dumps(headers, ensure_ascii=False)}"]
    if call.sends_file:
        told.append(f'body: await readFile("{FILE}")')
    if call.body:
        told.append(f"body: JSON.stringify({call.json})")
    ending = {
        "image": 'await writeFile("image.png", Buffer.from(await answer.arrayBuffer()));',
        "json": "console.log(await answer.json());",
        "nothing": "console.log(answer.status);",
    }
    needs = [name for name, used in (("readFile", call.sends_file), ("writeFile", call.gets == "image")) if used]
    begin = f'import {{ {", ".join(needs)} }} from "node:fs/promises";\n\n' if needs else ""
    options = "".join(f"  {each},\n" for each in told)
    return (
        f'{begin}const answer = await fetch("{call.address}", {{\n{options}}});\n'
        f"if (!answer.ok) throw new Error(await answer.text());\n{ending[call.gets]}"
    )


LANGUAGES = {"curl": curl, "Python": python, "JavaScript": javascript}
