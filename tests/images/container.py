"""Images as buildah has them, and containers of them, confined as the restricted profile asks.

Needs buildah and runc, and root.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

ROOT = Path(__file__).parents[2]
INSIDE = "/tmp/inside"  # noqa: S108 - in the container, where nobody else writes
"""Where a container finds this repository's `tests`, as a package."""


@dataclass(frozen=True)
class Image:
    """An image that was built."""

    name: str

    @cached_property
    def config(self) -> Mapping[str, Any]:
        """What the image says about itself: `User`, `Env`, `Entrypoint` and the like."""
        document = json.loads(_output("buildah", "inspect", "--type", "image", self.name))
        config: Mapping[str, Any] = document["OCIv1"]["config"]
        return config

    def packed_bytes(self) -> Mapping[str, int]:
        """The compressed size of each layer, by its digest: what a node pulls."""
        with TemporaryDirectory() as folder:
            _output("buildah", "push", "--quiet", self.name, f"oci:{folder}")
            blobs = Path(folder) / "blobs" / "sha256"
            index = json.loads((Path(folder) / "index.json").read_text(encoding="utf-8"))
            digest = index["manifests"][0]["digest"].removeprefix("sha256:")
            manifest = json.loads((blobs / digest).read_text(encoding="utf-8"))
        return {layer["digest"]: layer["size"] for layer in manifest["layers"]}

    @contextmanager
    def files(self) -> Iterator[Path]:
        """Lend the image's root folder."""
        name = _output("buildah", "from", "--pull=never", self.name).strip()
        try:
            yield Path(_output("buildah", "mount", name).strip())
        finally:
            _output("buildah", "rm", name)

    def run(self, *arguments: str, timeout_seconds: float = 60) -> str:
        """Run a command as the image's user; gives what it wrote.

        The root is read-only and `/tmp` is not; no capability, no new privileges, a network of
        its own in which only the loopback is up.

        Raises:
            AssertionError: it left with another status than 0; says what it wrote.
        """
        with self.files() as root, TemporaryDirectory() as bundle:
            _write_bundle(Path(bundle), root=root, config=self.config, arguments=arguments)
            done = subprocess.run(
                ["runc", "run", "--bundle", bundle, f"rqube-test-{uuid4().hex}"],
                capture_output=True,
                text=True,
                timeout=timeout_seconds,
                check=False,
            )
        said = f"{self.name} {arguments} left with {done.returncode}:\n{done.stdout}\n{done.stderr}"
        assert done.returncode == 0, said
        return done.stdout


def build(builder: Path, name: str, context: Path, *arguments: str) -> Image:
    """Build an image.

    Raises:
        subprocess.CalledProcessError: holds what the build said.
    """
    _output(str(builder), "build", name, str(context), "--force-rm", *arguments)
    return Image(name)


def _write_bundle(
    bundle: Path, *, root: Path, config: Mapping[str, Any], arguments: tuple[str, ...]
) -> None:
    _output("runc", "spec", "--bundle", str(bundle))
    path = bundle / "config.json"
    spec = json.loads(path.read_text(encoding="utf-8"))
    spec["root"] = {"path": str(root), "readonly": True}
    user, group = config["User"].split(":")
    spec["process"] |= {
        "terminal": False,
        "user": {"uid": int(user), "gid": int(group)},
        "args": arguments,
        "env": [*config["Env"], f"PYTHONPATH={INSIDE}"],
        "cwd": config["WorkingDir"],
        "noNewPrivileges": True,
        "capabilities": dict.fromkeys(spec["process"]["capabilities"], ()),
    }
    spec["mounts"] += [
        {
            "destination": "/tmp",  # noqa: S108 - as INSIDE
            "type": "tmpfs",
            "source": "tmpfs",
            "options": ["nosuid", "nodev", "mode=1777"],
        },
        {
            "destination": f"{INSIDE}/tests",
            "type": "bind",
            "source": str(ROOT / "tests"),
            "options": ["bind", "ro"],
        },
    ]
    path.write_text(json.dumps(spec), encoding="utf-8")


def _output(*command: str) -> str:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        error = subprocess.CalledProcessError(
            done.returncode, command, output=done.stdout, stderr=done.stderr
        )
        error.add_note(f"{done.stdout}\n{done.stderr}")
        raise error
    return done.stdout
