"""libcurl's multi interface, driven by the running event loop.

libcurl's sockets are watched by an epoll of their own, and the loop watches that one: libcurl
closes a socket and the kernel forgets it, so the loop can never mistake a stranger's socket of the
same number for it. It is also cheaper: between two calls on a kept connection the socket stays
watched, where the loop would take it out and in again (six system calls). And it shows at once
when the far side closes a kept connection; libcurl itself looks once a second.
"""

import asyncio
import contextlib
import select
import socket
from typing import Any, Protocol

import pycurl

_EVENTS = {
    pycurl.POLL_NONE: select.EPOLLRDHUP,
    pycurl.POLL_IN: select.EPOLLIN | select.EPOLLRDHUP,
    pycurl.POLL_OUT: select.EPOLLOUT | select.EPOLLRDHUP,
    pycurl.POLL_INOUT: select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP,
}
_GONE = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR
_AT_ONCE = 256
"""Events taken from one look; the rest is seen in the loop's next round."""
_REMEMBERED = 1024


class Job(Protocol):
    """One libcurl handle and what is to be told when its transfer has ended."""

    curl: Any

    def finish(self, code: int, message: str) -> None:
        """The transfer has ended; ``code`` is libcurl's, 0 if all went well."""

    def give_up(self, detail: str) -> None:
        """The transfer was ended from our side."""


class Driver:
    """Runs transfers. Bound to the event loop that was running when it was made."""

    def __init__(self, *, max_connections: int, max_host_connections: int) -> None:
        self.loop = asyncio.get_running_loop()
        self._multi = multi = pycurl.CurlMulti()
        multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch)
        multi.setopt(pycurl.M_MAX_TOTAL_CONNECTIONS, max_connections)
        multi.setopt(pycurl.M_MAX_HOST_CONNECTIONS, max_host_connections)
        # Without this, libcurl keeps four idle connections for each call under way: few calls
        # after many would close what the many opened.
        multi.setopt(pycurl.M_MAXCONNECTS, max_connections)
        self._epoll = select.epoll()
        self.loop.add_reader(self._epoll.fileno(), self._ready)
        self._idle: set[int] = set()
        self._closed: dict[tuple[str, int], bool] = {}
        self._jobs: dict[Any, Job] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        self._soon: asyncio.Handle | None = None

    def start(self, job: Job) -> None:
        """Begin a transfer in the loop's next round; ``finish`` is called when it has ended."""
        self._jobs[job.curl] = job
        self._multi.add_handle(job.curl)
        if self._soon is None:
            # Once for all calls of this round of the loop.
            self._soon = self.loop.call_soon(self._wake)

    def abort(self, job: Job) -> None:
        """End a transfer, unless it has ended. Its connection is closed."""
        if self._jobs.pop(job.curl, None) is not None:
            self._multi.remove_handle(job.curl)
            job.give_up("the call was cancelled")
            self._wake()  # another may have waited for the connection

    def stop(self, detail: str) -> None:
        """End every transfer and watch nothing any more; ``dispose`` is to follow."""
        for handle in (self._timer, self._soon):
            if handle is not None:
                handle.cancel()
        self.loop.remove_reader(self._epoll.fileno())
        for job in self._jobs.values():
            self._multi.remove_handle(job.curl)
            job.give_up(detail)
        self._jobs.clear()

    def dispose(self) -> None:
        """Free what libcurl holds. Blocks while a look-up in the system's resolver lasts."""
        self._multi.close()
        self._epoll.close()

    def is_closed(self, ip: str, port: int) -> bool:
        """Whether the far side has closed the kept connection with this local address.

        Asked once for each: whoever asks does not use it, and libcurl then closes it.
        """
        return bool(self._closed) and self._closed.pop((ip, port), False)

    def _wake(self) -> None:
        self._soon = None
        self._look()  # so that no call is begun on a connection that is closed already
        self._settle(self._multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)[1])

    def _ready(self) -> None:
        running = self._look()
        if running is not None:
            self._settle(running)

    def _look(self) -> int | None:
        """Pass on what happened on the sockets; return how many transfers still run."""
        running = None
        for descriptor, events in self._epoll.poll(0, _AT_ONCE):
            if descriptor in self._idle:
                self._stirred(descriptor, events)
                continue
            action = pycurl.CSELECT_IN if events == select.EPOLLIN else _action(events)
            running = self._multi.socket_action(descriptor, action)[1]
        return running

    def _stirred(self, descriptor: int, events: int) -> None:
        """Something happened on a connection that is merely kept. libcurl reads it later."""
        with contextlib.suppress(OSError):
            if not events & _GONE:
                self._epoll.modify(descriptor, select.EPOLLRDHUP)
                return
            self._idle.discard(descriptor)
            self._epoll.unregister(descriptor)
            self._closed[_local_address(descriptor)] = True
            if len(self._closed) > _REMEMBERED:  # most are tidied away by libcurl, unasked
                del self._closed[next(iter(self._closed))]

    def _settle(self, running: int) -> None:
        """Hand out what has ended, and look again when libcurl wants it."""
        if running != len(self._jobs):
            _, good, bad = self._multi.info_read()
            for curl in good:
                self._end(curl, 0, "")
            for curl, code, message in bad:
                self._end(curl, code, message)
        milliseconds = self._multi.timeout()
        if milliseconds < 0:
            return
        due = self.loop.time() + milliseconds / 1000
        if self._timer is not None:
            # A timer that rings too early costs one look; moving it for each call costs more.
            if self._due <= due:
                return
            self._timer.cancel()
        self._due = due
        self._timer = self.loop.call_at(due, self._ring)

    def _ring(self) -> None:
        self._timer = None
        self._wake()

    def _end(self, curl: Any, code: int, message: str) -> None:
        job = self._jobs.pop(curl)
        self._multi.remove_handle(curl)
        job.finish(code, message)

    def _watch(self, wanted: int, descriptor: int, _multi: Any, _data: Any) -> None:
        """Tell the kernel what libcurl waits for; called by libcurl."""
        if wanted == pycurl.POLL_REMOVE:
            self._idle.add(descriptor)
            return
        self._idle.discard(descriptor)
        events = _EVENTS[wanted]
        try:
            self._epoll.modify(descriptor, events)
        except FileNotFoundError:
            # An exception would end the multi handle for good; a transfer that cannot be watched
            # ends by its timeout.
            with contextlib.suppress(OSError):
                self._epoll.register(descriptor, events)


def _action(events: int) -> int:
    action = 0
    if events & ~select.EPOLLOUT:
        action |= pycurl.CSELECT_IN
    if events & select.EPOLLOUT:
        action |= pycurl.CSELECT_OUT
    if events & (select.EPOLLERR | select.EPOLLHUP):
        action |= pycurl.CSELECT_ERR
    return action


def _local_address(descriptor: int) -> tuple[str, int]:
    borrowed = socket.socket(fileno=descriptor)
    try:
        ip, port, *_ = borrowed.getsockname()
        return ip, port
    finally:
        borrowed.detach()
