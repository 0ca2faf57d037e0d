"""Earlier revisions of a folder, from its git repository. Nothing of the repository is executed."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

MAX_REVISIONS = 100
SECONDS = 60


class GitError(Exception):
    """Git cannot answer; the message says why."""


class GitHistory:
    """The history of a folder.

    Args:
        folder: a folder in the work tree of a repository.

    Raises:
        GitError: git is not installed, or the folder is in no repository.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._prefix = self._run("rev-parse", "--show-prefix").decode().strip("\n")

    def resolve(self, revision: str) -> str:
        """Return the commit of a revision, such as `origin/main`. Raises GitError."""
        try:
            return self._run("rev-parse", "--verify", "--end-of-options", f"{revision}^{{commit}}").decode().strip()
        except GitError:
            raise GitError(f"{revision!r} is no commit here; a job has to fetch the whole history") from None

    def list_files(self, commit: str, subfolder: str = "") -> list[str]:
        """Return the names of the files in the folder, or in one of its subfolders, at a commit."""
        listed = self._run("ls-tree", "-z", "--full-tree", commit, f"{self._prefix}{subfolder}")
        entries = (line.partition("\t") for line in listed.decode(errors="replace").split("\0") if line)
        # Regular files: no symbolic links, no submodules.
        return [path.rpartition("/")[2] for mode, _, path in entries if mode.startswith("100")]

    def read(self, commit: str, name: str, max_bytes: int) -> bytes | None:
        """Return a file of the folder at a commit; None if there was none, or a larger one."""
        what = f"{commit}:{self._prefix}{name}"
        try:
            size = int(self._run("cat-file", "-s", what))
            return self._run("cat-file", "blob", what) if size <= max_bytes else None
        except GitError:
            return None

    def revisions_of(self, name: str, max_bytes: int) -> Iterator[bytes]:
        """Yield the contents that a file had in the commits that led to this one, the newest first."""
        commits = self._run("rev-list", f"--max-count={MAX_REVISIONS}", "HEAD", "--", name)
        for commit in commits.decode().split():
            data = self.read(commit, name, max_bytes)
            if data is not None:
                yield data

    def _run(self, *arguments: str) -> bytes:
        # A file system monitor would be a program that the repository names.
        command = ["git", "-c", "core.fsmonitor=false", "-C", str(self._folder), *arguments]
        try:
            done = subprocess.run(command, capture_output=True, timeout=SECONDS, check=False)  # noqa: S603
        except (OSError, subprocess.TimeoutExpired) as error:
            raise GitError(f"git cannot be run: {error}") from None
        if done.returncode:
            reason = done.stderr.decode(errors="replace").strip().splitlines()
            raise GitError(reason[-1][:300] if reason else f"git {arguments[0]} failed")
        return done.stdout
