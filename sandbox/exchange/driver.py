"""What keeps jobs moving: one task per open job, woken by what arrives, taking up everything at start."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from records.clock import Clock
from records.errors import PeerUnavailable, Reason, StateConflict, UsufructError
from sandbox.exchange import jobs
from sandbox.lifecycle import TERMINAL, TRANSITIONS, Effects, JobSnapshot, State, advance
from sandbox.ports import JobEvent
from sandbox.store import Store

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long the driver waits for a silent node before a job fails, and how often it asks again."""

    silent_node: timedelta = timedelta(seconds=30)
    first_pause_s: float = 0.2
    longest_pause_s: float = 5.0
    idle_s: float = 5.0


class _Trouble:
    """Since when a job does not get on, and how long to wait before the next try."""

    def __init__(self, since: datetime, patience: Patience) -> None:
        self.since = since
        self._pause_s = patience.first_pause_s
        self._longest_pause_s = patience.longest_pause_s

    def next_pause_s(self) -> float:
        pause_s = self._pause_s
        self._pause_s = min(2 * pause_s, self._longest_pause_s)
        return pause_s


class Driver:
    """Drives the jobs of one exchange on the running event loop."""

    def __init__(self, store: Store, effects: Effects, clock: Clock, patience: Patience) -> None:
        """Nothing runs before `start`."""
        self._store = store
        self._effects = effects
        self._clock = clock
        self._patience = patience
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._news: dict[str, asyncio.Event] = {}
        self._moved = asyncio.Condition()
        self._stopping = False

    def start(self) -> None:
        """Take up every job that had not ended when the process last stopped."""
        with self._store.read() as connection:
            for job_id in jobs.open_jobs(connection):
                self.wake(job_id)

    async def stop(self) -> None:
        """Stop all tasks; whatever was under way is repeated at the next start."""
        self._stopping = True
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def wake(self, job_id: str) -> None:
        """Tell the job's task that something arrived; start it if there is none."""
        self._news.setdefault(job_id, asyncio.Event()).set()
        if job_id not in self._tasks and not self._stopping:
            task = asyncio.get_running_loop().create_task(self._drive(job_id))
            self._tasks[job_id] = task
            task.add_done_callback(lambda _: self._forget(job_id))

    async def watch(self, job_id: str, after: int) -> AsyncIterator[JobEvent]:
        """Yield the job's steps after number `after`, as they happen, until it is terminal."""
        while True:
            with self._store.read() as connection:
                events = jobs.events(connection, job_id, after)
            for event in events:
                yield event
                after = event.sequence
                if State(event.state) in TERMINAL:
                    return
            async with self._moved:
                with self._store.read() as connection:
                    unseen = jobs.events(connection, job_id, after)
                if not unseen:
                    await self._moved.wait()

    def _forget(self, job_id: str) -> None:
        self._tasks.pop(job_id, None)
        self._news.pop(job_id, None)

    async def _drive(self, job_id: str) -> None:
        trouble: _Trouble | None = None
        while True:
            self._news[job_id].clear()
            before = self._snapshot(job_id)
            if before.state in TERMINAL:
                return
            fault = await self._advance(before)
            if fault is not None:
                trouble = trouble or _Trouble(self._clock(), self._patience)
                await self._bear(before, fault, trouble)
                continue
            trouble = None
            after = self._snapshot(job_id)
            logger.info(
                "job advanced", extra={"job": job_id, "state": after.state, "writing_ms": self._writing_ms()}
            )
            if after == before:
                await self._wait_for_news(job_id)
            await self._tell_watchers()

    async def _advance(self, job: JobSnapshot) -> UsufructError | None:
        """Take the job one stage further; return what stood in the way."""
        try:
            await advance(job, self._effects, self._clock())
        except UsufructError as fault:
            logger.warning("job does not advance", extra={"job": job.job_id, "fault": fault.code})
            return fault
        except Exception as fault:
            logger.exception("internal error", extra={"job": job.job_id, "fault": type(fault).__name__})
            return UsufructError("internal error")
        return None

    async def _bear(self, job: JobSnapshot, fault: UsufructError, trouble: _Trouble) -> None:
        """Wait and try again, or give the job up: at once where trying again cannot help, else in time."""
        passing = type(fault) in (PeerUnavailable, StateConflict, UsufructError)
        # A booked charge is never given up by a timeout (R7).
        may_fail = State.FAILED in TRANSITIONS[job.state] and job.state is not State.METERED
        if may_fail and (not passing or self._clock() - trouble.since >= self._patience.silent_node):
            given_up = await self._give_up(job, fault)
            if given_up:
                return
        await asyncio.sleep(trouble.next_pause_s())

    async def _give_up(self, job: JobSnapshot, fault: UsufructError) -> bool:
        reason = Reason(
            "exchange", f"{job.state.lower()}.{fault.code}", "an answer", str(fault), "submit it again later"
        )
        try:
            outcome = await self._effects.end(job, State.FAILED, (reason,))
            self._effects.commit(job, outcome)
        except UsufructError as hindrance:
            logger.warning("job cannot be ended yet", extra={"job": job.job_id, "fault": hindrance.code})
            return False
        await self._tell_watchers()
        return True

    async def _tell_watchers(self) -> None:
        async with self._moved:
            self._moved.notify_all()

    async def _wait_for_news(self, job_id: str) -> None:
        # Expiry needs no message: look again now and then.
        try:
            await asyncio.wait_for(self._news[job_id].wait(), self._patience.idle_s)
        except TimeoutError:
            return

    def _writing_ms(self) -> int:
        return round(1000 * self._store.writing_s)

    def _snapshot(self, job_id: str) -> JobSnapshot:
        with self._store.read() as connection:
            return jobs.snapshot(connection, job_id)
