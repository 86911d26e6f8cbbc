"""A task: a Python function that can be run as a job."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Generic, ParamSpec, Protocol, TypeVar, get_type_hints

import pydantic

from rqube import errors
from rqube.jobs import Job, Lane
from rqube.settings import NAME_PATTERN

P = ParamSpec("P")
R = TypeVar("R")

DEFAULT_TIMEOUT = timedelta(seconds=180)
DEFAULT_MAX_ATTEMPTS = 3
SHORTEST_TIMEOUT = timedelta(milliseconds=100)
LONGEST_TIMEOUT = timedelta(days=7)


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitOptions:
    """What a submit may ask for beside the parameters; `None` takes the task's own."""

    queue: str | None = None
    run_at: datetime | None = None
    delay: timedelta | None = None
    priority: int = 0
    timeout: timedelta | None = None
    max_attempts: int | None = None
    tags: tuple[str, ...] = ()
    idempotency_key: str | None = None


class Submit(Protocol):
    """How `Task.submit` hands over; given to the class when `rqube` is imported."""

    def __call__(
        self, task: Task[..., Any], params: Mapping[str, Any], options: SubmitOptions
    ) -> Job: ...


class Task(Generic[P, R]):
    """A function with a name, typed parameters and limits; calling it stays a plain call."""

    submitter: Submit

    def __init__(  # noqa: PLR0913 - composed once
        self,
        function: Callable[P, R],
        *,
        name: str,
        queue: str,
        timeout: timedelta,
        max_attempts: int,
        lane: Lane,
        permanent_errors: tuple[type[Exception], ...] = (),
    ) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.name = name
        self.queue = queue
        self.timeout = timeout
        self.max_attempts = max_attempts
        self.lane = lane
        self.permanent_errors = permanent_errors
        self.is_coroutine = inspect.iscoroutinefunction(function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<Task {self.name}>"

    @functools.cached_property
    def description(self) -> str:
        """First line of the function's docstring."""
        return (inspect.getdoc(self.function) or "").split("\n", 1)[0]

    @functools.cached_property
    def params_model(self) -> type[pydantic.BaseModel]:
        """The parameters as a pydantic model."""
        return _params_model(self.function, name=self.name)

    @functools.cached_property
    def params_schema(self) -> dict[str, Any]:
        """JSON Schema of the parameters: an object that allows no other names."""
        return self.params_model.model_json_schema()

    def parse(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Turn JSON parameters into the function's keyword arguments.

        Raises:
            InvalidInput: names each field as `params.<name>`.
        """
        if not params and not self.params_model.model_fields:
            return {}
        try:
            model = self.params_model.model_validate(dict(params))
        except pydantic.ValidationError as error:
            raise errors.InvalidInput(
                [
                    errors.FieldError(
                        field=".".join(["params", *(str(part) for part in detail["loc"])]),
                        message=detail["msg"],
                    )
                    for detail in error.errors(include_url=False, include_context=False)
                ]
            ) from error
        fields = zip(self._names, type(model).model_fields, strict=True)
        return {name: getattr(model, field) for name, field in fields}

    def submit(self, *args: P.args, **kwargs: P.kwargs) -> Job:
        """Accept a job of this task; returns when it is stored.

        Raises:
            InvalidInput: the parameters do not fit.
            StoreUnavailable: nothing is known to be stored.
        """
        return self.submit_with(SubmitOptions(), *args, **kwargs)

    def submit_with(self, options: SubmitOptions, /, *args: P.args, **kwargs: P.kwargs) -> Job:
        """Accept a job of this task with options, such as a delay; see `submit`."""
        params = inspect.signature(self.function).bind(*args, **kwargs).arguments
        return type(self).submitter(self, params, options)

    @functools.cached_property
    def _names(self) -> Sequence[str]:
        return tuple(inspect.signature(self.function).parameters)


def task(  # noqa: PLR0913 - one for each property of a task
    name: str,
    *,
    queue: str = "default",
    timeout: timedelta = DEFAULT_TIMEOUT,
    max_attempts: int = DEFAULT_MAX_ATTEMPTS,
    lane: str | Lane = Lane.THREAD,
    permanent_errors: Sequence[type[Exception]] = (),
) -> Callable[[Callable[P, R]], Task[P, R]]:
    """Make a function a task.

    `name` and `queue` match `[a-z0-9._-]{1,64}`; `timeout` limits one attempt, 100 ms to 7 days;
    `max_attempts` is 1 to 1,000; the `process` lane runs each job in a forked child of its own.
    After one of the `permanent_errors`, or of their subclasses, there is no other attempt.

    Raises:
        ValueError: an argument is out of its range.
        TypeError: the function has positional-only or variadic parameters, or a permanent error is
            no class of exceptions.
    """
    for what, value in (("name", name), ("queue", queue)):
        if not re.fullmatch(NAME_PATTERN, value):
            message = f"task {what} {value!r} does not match {NAME_PATTERN}"
            raise ValueError(message)
    if not SHORTEST_TIMEOUT <= timeout <= LONGEST_TIMEOUT:
        message = f"task {name}: timeout {timeout} is not within 100 ms and 7 days"
        raise ValueError(message)
    if not 1 <= max_attempts <= 1000:
        message = f"task {name}: max_attempts {max_attempts} is not within 1 and 1,000"
        raise ValueError(message)
    _refuse_no_exceptions(permanent_errors, name=name)

    def declare(function: Callable[P, R]) -> Task[P, R]:
        _refuse_variadic(function, name=name)
        return Task(
            function,
            name=name,
            queue=queue,
            timeout=timeout,
            max_attempts=max_attempts,
            lane=Lane(lane),
            permanent_errors=tuple(permanent_errors),
        )

    return declare


def _refuse_no_exceptions(kinds: Sequence[object], *, name: str) -> None:
    for kind in kinds:
        if not (isinstance(kind, type) and issubclass(kind, Exception)):
            message = f"task {name}: permanent error {kind!r} is no class of exceptions"
            raise TypeError(message)


def _refuse_variadic(function: Callable[..., Any], *, name: str) -> None:
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            message = f"task {name}: parameter {parameter.name!r} cannot be given by name"
            raise TypeError(message)


def _params_model(function: Callable[..., Any], *, name: str) -> type[pydantic.BaseModel]:
    hints = get_type_hints(function, include_extras=True)
    fields: dict[str, Any] = {}
    names: dict[str, str] = {}
    for number, parameter in enumerate(inspect.signature(function).parameters.values()):
        default = ... if parameter.default is parameter.empty else parameter.default
        # Inside, a field has a name of its own: a model has members such as `json` and `copy`.
        inner = f"parameter{number}"
        names[inner] = parameter.name
        fields[inner] = (hints.get(parameter.name, Any), default)
    return pydantic.create_model(
        name,
        __config__=pydantic.ConfigDict(
            extra="forbid", arbitrary_types_allowed=False, alias_generator=names.__getitem__
        ),
        **fields,
    )
