"""A few threads that run what they are given; the only place in the client that makes threads."""

import threading
from collections.abc import Callable
from queue import SimpleQueue


class Workers:
    """At most `size` daemon threads, started when first needed and kept until `close`.

    Daemon threads, unlike those of `concurrent.futures`, never hold a process that has to end.
    """

    def __init__(self, size: int, name: str) -> None:
        self._size = size
        self._name = name
        self._tasks: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._threads = 0

    def submit(self, task: Callable[[], None]) -> None:
        """Run `task` as soon as a thread is free; it must handle its own exceptions."""
        with self._lock:
            if self._threads < self._size:
                self._threads += 1
                threading.Thread(target=self._work, name=f"{self._name}-{self._threads}", daemon=True).start()
        self._tasks.put(task)

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            task()

    def close(self) -> None:
        """Let the threads end after what was submitted; does not wait for them."""
        with self._lock:
            for _ in range(self._threads):
                self._tasks.put(None)
            self._threads = 0
