from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pydantic
import pytest

from rqube.settings import Settings, environment


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget what the shell that started the tests has set."""
    for name in environment():
        if name.startswith("RQUBE_"):
            monkeypatch.delenv(name)


class TestSettings:
    def test_have_a_value_each(self) -> None:
        """A service starts without any of them."""
        settings = Settings.load()

        assert settings.queues == ("default",)
        assert settings.lease == timedelta(seconds=15)

    def test_come_from_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Lists are comma separated; each name counts once, in its order."""
        monkeypatch.setenv("RQUBE_QUEUES", " high, low ,,high")
        monkeypatch.setenv("RQUBE_TASKS", "a.tasks,b.tasks")
        monkeypatch.setenv("RQUBE_THREADS", "7")

        settings = Settings.load()

        assert settings.queues == ("high", "low")
        assert settings.tasks == ("a.tasks", "b.tasks")
        assert settings.threads == 7

    def test_may_come_from_files(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """Secrets are mounted as files, and win over what the environment says."""
        secret = tmp_path / "url"
        secret.write_text("postgresql://a:secret@b/c\n", encoding="utf-8")
        monkeypatch.setenv("RQUBE_POSTGRES_URL", "postgresql://nobody@nowhere/nothing")
        monkeypatch.setenv("RQUBE_POSTGRES_URL_FILE", str(secret))

        assert Settings.load().postgres_url == "postgresql://a:secret@b/c"

    def test_need_the_files_they_name(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """A service without its secret must not start with another value."""
        monkeypatch.setenv("RQUBE_REDIS_URL_FILE", str(tmp_path / "missing"))

        with pytest.raises(FileNotFoundError):
            Settings.load()

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("QUEUES", ","),
            ("QUEUES", "With Spaces"),
            ("POOL", "a/b"),
            ("THREADS", "0"),
            ("THREADS", "many"),
            ("LEASE_SECONDS", "0.5"),
            ("GRACE_SECONDS", "-1"),
            ("WINDOW_JOBS", "1"),
            ("RECORD_JOBS", "-1"),
            ("RETENTION_DAYS", "failed=0"),
            ("API_PORT", "70000"),
            ("LOG_LEVEL", "LOUD"),
        ],
    )
    def test_are_checked(self, monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
        """A mistake is named at the start, not found out later."""
        monkeypatch.setenv(f"RQUBE_{name}", value)

        with pytest.raises(pydantic.ValidationError, match=f"(?i){name}"):
            Settings.load()

    def test_do_not_change(self) -> None:
        """Built once, passed down, and the same for all."""
        settings: Any = Settings.load()

        with pytest.raises(pydantic.ValidationError):
            settings.threads = 8
