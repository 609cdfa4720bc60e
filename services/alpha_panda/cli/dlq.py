"""`alpha-panda dlq`: what the services could not process, and what to do with it."""

from typing import Annotated, Any

import msgspec
import typer

from alpha_panda.compose.dead_letter_office import (
    DeadLetterOffice,
    Queue,
    Replay,
    content_of,
    facts_of,
)
from alpha_panda.errors import RecordError, UserInputError
from alpha_panda.ports import Record
from alpha_panda.runtime.context import Ports
from alpha_panda.runtime.dead_letter import HEADER_PREFIX
from alpha_panda.runtime.settings import Settings

from .connecting import over_ports, person
from .output import ByOption, Form, FormOption, moment, say, say_json, say_table, warn
from .plugin_places import InPod, runs

app = typer.Typer(
    name="dlq",
    help="Dead letter queues: records that a service could not process.",
    no_args_is_help=True,
)

Topic = Annotated[
    str, typer.Argument(help="The queue, or the topic that its records come from.", show_default=False)
]


@app.command("list")
@runs(InPod(near="accounts"))
def list_queues(
    accounts: Annotated[
        list[str] | None, typer.Argument(help="Accounts or feeds; default: all.", show_default=False)
    ] = None,
    topic: Annotated[str, typer.Option("--topic", help="Only this queue.", show_default=False)] = "",
    output: FormOption = Form.TEXT,
) -> None:
    """List the queues that hold something: how many records, why, and which service set them aside."""

    async def work(ports: Ports, settings: Settings) -> list[Queue]:
        office = DeadLetterOffice(ports, settings, "")
        return [await office.overview(name) for name in await office.topics(accounts or (), topic)]

    queues = over_ports(work)
    if output is Form.JSON:
        say_json({"queues": [_queue_json(queue) for queue in queues]})
        return
    full = [queue for queue in queues if queue.count]
    if not full:
        say(f"no dead letters ({len(queues)} queues)")
        return
    rows = [
        (queue.topic, str(queue.count), f"{queue.oldest}-{queue.end - 1}", _counts(queue.codes),
         _counts(queue.services), moment(queue.last_ts) or "")
        for queue in full
    ]  # fmt: skip
    say_table(("queue", "records", "offsets", "codes", "set aside by", "last"), rows)


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items())


def _queue_json(queue: Queue) -> dict[str, Any]:
    return {
        "topic": queue.topic,
        "records": queue.count,
        "oldest": queue.oldest,
        "next": queue.end,
        "codes": queue.codes,
        "services": queue.services,
        "last_at": moment(queue.last_ts),
    }


@app.command("show")
@runs(InPod(near="topic"))
def show_letter(
    topic: Topic,
    offset: Annotated[int, typer.Argument(help="Offset in the queue.", show_default=False)],
    output: FormOption = Form.TEXT,
) -> None:
    """Show one record: why it was set aside, its headers, and what is in it."""

    async def work(ports: Ports, settings: Settings) -> Record:
        office = DeadLetterOffice(ports, settings, "")
        (queue,) = await office.topics(topic=topic)
        return await office.letter(queue, offset)

    shown = letter_json(over_ports(work))
    if output is Form.JSON:
        say_json(shown)
        return
    for name in ("topic", "offset", "at", "key"):
        say(f"{name:<12} {shown[name]}")
    for group in ("dlq", "headers"):
        for name, value in shown[group].items():
            say(f"{group}.{name:<12} {value}")
    if shown["payload"] is None:
        say(f"can't be decoded: {shown['decode_error']}")
        say(f"value        {shown['value']}")
    else:
        say(msgspec.json.format(msgspec.json.encode(shown["payload"]), indent=2).decode())


def letter_json(letter: Record) -> dict[str, Any]:
    """Return a dead letter as `dlq show` prints it; `value` is the bytes as text, what is no UTF-8 escaped."""
    try:
        payload, problem = msgspec.to_builtins(content_of(letter), str_keys=True), ""
    except RecordError as error:
        payload, problem = None, str(error)
    headers = {
        name: value.decode(errors="backslashreplace")
        for name, value in letter.headers
        if not name.startswith(HEADER_PREFIX)
    }
    return {
        "topic": letter.topic,
        "offset": letter.offset,
        "at": moment(letter.timestamp),
        "key": letter.key,
        "dlq": facts_of(letter),
        "headers": headers,
        "payload": payload,
        "decode_error": problem,
        "value": letter.value.decode(errors="backslashreplace"),
    }


@app.command("replay")
@runs(InPod(near="topic"))
def replay_letters(
    topic: Topic,
    offsets: Annotated[
        list[int] | None,
        typer.Option("--offset", help="Offset of a record; may be repeated.", show_default=False),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that is there now.")] = False,
    by: ByOption = None,
    output: FormOption = Form.TEXT,
) -> None:
    """Send records again to the topic that they come from; signals always through risk. Deletes nothing.

    Doing it twice does no harm: everybody who reads them knows what they have seen. `purge` empties the queue.
    """
    if everything == bool(offsets):
        raise UserInputError("name records by --offset N, or say --all")

    async def work(ports: Ports, settings: Settings) -> Replay:
        office = DeadLetterOffice(ports, settings, person(by))
        (queue,) = await office.topics(topic=topic)
        return await office.replay(queue, None if everything else offsets)

    done = over_ports(work)
    if output is Form.JSON:
        say_json(_replay_json(done))
    else:
        for item in done.sent:
            say(f"sent {done.topic}/{item.offset} to {item.topic}/{item.partition}/{item.landed}")
        for offset, why in done.skipped:
            warn(f"failed: {done.topic}/{offset} can't be sent again: {why}")
        say(f"{len(done.sent)} sent, {len(done.skipped)} can't be; they stay in the queue until `dlq purge`")
    if done.problem:
        warn(f"failed: {done.problem}")
    if done.problem or done.skipped:
        raise typer.Exit(1)


def _replay_json(done: Replay) -> dict[str, Any]:
    return {
        "topic": done.topic,
        "sent": [
            {
                "offset": item.offset,
                "to": {"topic": item.topic, "partition": item.partition, "offset": item.landed},
            }
            for item in done.sent
        ],
        "skipped": [{"offset": offset, "why": why} for offset, why in done.skipped],
        "problem": done.problem,
    }


@app.command("purge")
@runs(InPod(near="topic"))
def purge_queue(
    topic: Topic,
    before: Annotated[
        int | None, typer.Option("--before", help="Delete the records of lower offsets.", show_default=False)
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All that is there now.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Don't only say what would be deleted.")] = False,
    output: FormOption = Form.TEXT,
) -> None:
    """Delete records of a queue for good."""
    if everything == (before is not None):
        raise UserInputError("name a limit by --before OFFSET, or say --all")

    async def work(ports: Ports, settings: Settings) -> tuple[str, int, int]:
        office = DeadLetterOffice(ports, settings, "")
        (queue,) = await office.topics(topic=topic)
        oldest, end = await office.purgeable(queue, before)
        if yes and oldest < end:
            await office.purge(queue, end)
        return queue, oldest, end

    queue, oldest, end = over_ports(work)
    count = end - oldest
    if output is Form.JSON:
        say_json({"topic": queue, "deleted": count if yes else 0, "oldest": end if yes else oldest})
    elif yes:
        say(f"{queue}: {count} records deleted")
    if not yes:
        raise UserInputError(f"nothing was deleted; add --yes to delete {count} records of {queue}")
