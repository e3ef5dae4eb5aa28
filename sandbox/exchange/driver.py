"""What keeps jobs moving: one task per open job, woken by what arrives, taking up everything at start."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta

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
        silent_since = None
        pause_s = self._patience.first_pause_s
        while True:
            self._news[job_id].clear()
            before = self._snapshot(job_id)
            if before.state in TERMINAL:
                return
            try:
                await advance(before, self._effects, self._clock())
            except PeerUnavailable as silence:
                silent_since = silent_since or self._clock()
                if self._clock() - silent_since >= self._patience.silent_node:
                    await self._give_up(before, silence)
                    silent_since = None
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, self._patience.longest_pause_s)
                continue
            except StateConflict:
                continue  # it was moved in the meantime: look again
            except UsufructError as fault:
                logger.exception("job cannot advance", extra={"job": job_id, "fault": fault.code})
                await self._give_up(before, fault)
                continue
            silent_since, pause_s = None, self._patience.first_pause_s
            after = self._snapshot(job_id)
            if after == before:
                await self._wait_for_news(job_id)
            async with self._moved:
                self._moved.notify_all()

    async def _give_up(self, job: JobSnapshot, fault: UsufructError) -> None:
        if State.FAILED not in TRANSITIONS[job.state] or job.state is State.METERED:
            return  # a booked charge is never given up by a timeout (R7)
        reason = Reason(
            "exchange", f"{job.state.lower()}.{fault.code}", "an answer", str(fault), "submit it again later"
        )
        outcome = await self._effects.end(job, State.FAILED, (reason,))
        self._effects.commit(job, outcome)
        async with self._moved:
            self._moved.notify_all()

    async def _wait_for_news(self, job_id: str) -> None:
        # Expiry needs no message: look again now and then.
        try:
            await asyncio.wait_for(self._news[job_id].wait(), self._patience.idle_s)
        except TimeoutError:
            return

    def _snapshot(self, job_id: str) -> JobSnapshot:
        with self._store.read() as connection:
            return jobs.snapshot(connection, job_id)
