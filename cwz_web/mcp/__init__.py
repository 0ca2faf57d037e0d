"""The MCP server of `cwz mcp`: tools for AI assistants, which call the `/v1` API of an installation.

It is a client of the API and nothing else: it has no database, no session and no secret of the installation. What an
API key may do, and how often, the API decides.

- `server`: the server with its two transports, stdio and streamable HTTP.
- `tools`: the tools.
- `api_client`: requests to the API.
- `results`: results of tools, with bounded texts and images.
- `document_schema`: the JSON Schema of template documents in parts.
"""
