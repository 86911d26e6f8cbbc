from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from tests.running_api import RunningApi

PATH = "/api/v1/jobs"
KEY = {"Idempotency-Key": "order-7"}
HEADERS = KEY | {"Content-Type": "application/json"}


def test_gives_the_same_job_again(api: RunningApi) -> None:
    """A client that missed the answer may repeat the request."""
    body = {"task": "demo.noop", "tags": ["a"]}

    first, second = (api.client.post(PATH, json=body, headers=KEY) for _ in range(2))

    assert [first.status_code, second.status_code] == [201, 201]
    assert second.json() == first.json()
    assert len(api.rows("SELECT id FROM jobs")) == 1


def test_ignores_white_space_and_the_order_of_fields(api: RunningApi) -> None:
    """What means the same is the same request."""
    texts = ['{"task": "demo.long", "priority": 1}', '{ "priority":1,\n"task":"demo.long"}']

    answers = [api.client.post(PATH, content=text, headers=HEADERS) for text in texts]

    assert len({answer.json()["id"] for answer in answers}) == 1


def test_refuses_the_key_for_another_request(api: RunningApi) -> None:
    """To give the first job for it would hide a mistake of the client."""
    api.client.post(PATH, json={"task": "demo.noop"}, headers=KEY)

    answer = api.client.post(PATH, json={"task": "demo.noop", "priority": 1}, headers=KEY)

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "Idempotency-Key"


def test_makes_one_job_of_requests_at_the_same_time(api: RunningApi) -> None:
    """The first to commit makes it; the others wait for that."""
    with ThreadPoolExecutor(8) as threads:
        answers = list(
            threads.map(
                lambda _: api.client.post(PATH, json={"task": "demo.noop"}, headers=KEY), range(8)
            )
        )

    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json()["id"] for answer in answers}) == 1


def test_judges_the_body_before_the_key(api: RunningApi) -> None:
    """A wrong request does not use up its key."""
    api.client.post(PATH, json={"task": "nope"}, headers=KEY)

    answer = api.client.post(PATH, json={"task": "demo.noop"}, headers=KEY)

    assert answer.status_code == 201
