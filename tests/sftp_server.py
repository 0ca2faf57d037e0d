"""An SFTP server on loopback: one user, files in memory, with the server side of asyncssh."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import asyncssh

HOST = "files.example.com"


class FakeSftp:
    """The server.

    Attributes:
        files: Its files by path.
        folders: Its folders.
        keys: Its host keys, by the name of their type.
        user_key: The key that may log in, besides the password.
        errors: What is raised for a path that is opened.
        growth: What is appended to a file after each read of it.
        stalled: The request that is never answered: "fstat" or "read".
        padding: What is appended to the answer of each read.
        max_answer: The largest answer of a read.
        options: Options of the listener, such as its algorithms.
        logins: The methods of logging in that were tried.
    """

    username, password = "feeds", "planted-canary"

    def __init__(self, *types: str) -> None:
        self.files: dict[str, bytes] = {}
        self.folders: set[str] = set()
        self.keys = [asyncssh.generate_private_key(name) for name in types or ("ssh-ed25519",)]
        self.user_key = asyncssh.generate_private_key("ssh-ed25519")
        self.errors: dict[str, Exception] = {}
        self.growth = self.padding = b""
        self.stalled = ""
        self.max_answer = 1 << 20
        self.options: dict[str, Any] = {}
        self.logins: list[str] = []
        self.host = ""

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the first key."""
        return self.keys[0].get_fingerprint()

    @property
    def private_key(self) -> str:
        """The key of the user."""
        return self.user_key.export_private_key().decode()

    @contextmanager
    def running(self) -> Iterator["FakeSftp"]:
        """Serve in a thread."""
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, daemon=True)
        thread.start()
        listener = asyncio.run_coroutine_threadsafe(self._listen(), loop).result(10)
        self.host = f"127.0.0.1:{listener.get_port()}"
        try:
            yield self
        finally:
            asyncio.run_coroutine_threadsafe(self._close(listener), loop).result(10)
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

    async def _listen(self) -> Any:
        options = {"server_host_keys": self.keys, "sftp_factory": lambda channel: _Files(channel, self)} | self.options
        return await asyncssh.create_server(lambda: _Accounts(self), "127.0.0.1", 0, **options)

    @staticmethod
    async def _close(listener: Any) -> None:
        listener.close()
        await listener.wait_closed()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()


class _Accounts(asyncssh.SSHServer):
    def __init__(self, server: FakeSftp) -> None:
        self._server = server

    def begin_auth(self, username: str) -> bool:
        return True

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        self._server.logins.append("password")
        return (username, password) == (self._server.username, self._server.password)

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        self._server.logins.append("key")
        return username == self._server.username and key == self._server.user_key.convert_to_public()


class _Files(asyncssh.SFTPServer):
    def __init__(self, channel: Any, server: FakeSftp) -> None:
        super().__init__(channel)
        self._server = server

    def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> object:
        assert pflags == asyncssh.FXF_READ, "a source is only read"
        name = path.decode()
        if error := self._server.errors.get(name):
            raise error
        if name not in self._server.files and name not in self._server.folders:
            raise asyncssh.SFTPNoSuchFile(f"no {name} for {self._server.password}")
        return name

    async def fstat(self, file_obj: object) -> asyncssh.SFTPAttrs:
        await self._stall("fstat")
        if file_obj in self._server.folders:
            return asyncssh.SFTPAttrs(permissions=0o40755, type=asyncssh.FILEXFER_TYPE_DIRECTORY, size=4096)
        size = len(self._server.files[str(file_obj)])
        return asyncssh.SFTPAttrs(permissions=0o100644, type=asyncssh.FILEXFER_TYPE_REGULAR, size=size)

    async def read(self, file_obj: object, offset: int, size: int) -> bytes:
        await self._stall("read")
        name, server = str(file_obj), self._server
        data = server.files[name][offset : offset + min(size, server.max_answer)]
        if server.growth:
            server.files[name] += server.growth
        return data + server.padding

    def close(self, file_obj: object) -> None:
        pass

    async def _stall(self, step: str) -> None:
        if self._server.stalled == step:
            await asyncio.Event().wait()
