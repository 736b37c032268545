"""A steady load: each worker asks again and again on a new connection, until a line comes on standard input.

    python -m integration.load ADDRESS PORT WORKERS

Prints ``started``, and at the end ``{"requests": n, "failures": [first hundred], "pages": {page: count}}``.
It ends by itself after ``LONGEST_SECONDS``.
"""

import collections
import http.client
import json
import sys
import threading
import time

LONGEST_SECONDS = 120.0
TIMEOUT_SECONDS = 5.0
FAILURES_MAX = 100


def main() -> None:
    """Runs the load."""
    address, port, workers = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    stop = threading.Event()
    lock = threading.Lock()
    pages: collections.Counter[str] = collections.Counter()
    failures: list[str] = []
    end = time.monotonic() + LONGEST_SECONDS

    def worker() -> None:
        while not stop.is_set() and time.monotonic() < end:
            page, failure = ask(address, port)
            with lock:
                if failure and len(failures) < FAILURES_MAX:
                    failures.append(f"{time.time():.3f} {failure}")
                elif not failure:
                    pages[page] += 1
            time.sleep(0.002)

    threads = [threading.Thread(target=worker) for _ in range(workers)]
    for thread in threads:
        thread.start()
    print("started", flush=True)
    sys.stdin.readline()
    stop.set()
    for thread in threads:
        thread.join()
    print(
        json.dumps(
            {"requests": pages.total() + len(failures), "failures": failures, "pages": pages}
        )
    )


def ask(address: str, port: int) -> tuple[str, str]:
    """One request on a connection of its own: the page, or what went wrong."""
    connection = http.client.HTTPConnection(address, port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/")
        response = connection.getresponse()
        page = response.read().decode()
        return page.strip(), "" if response.status == 200 and page else f"status {response.status}"
    except (OSError, http.client.HTTPException) as error:
        return "", repr(error)
    finally:
        connection.close()


if __name__ == "__main__":
    main()
