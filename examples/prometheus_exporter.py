"""An echo server whose figures Prometheus finds at http://127.0.0.1:9340/metrics."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import TYPE_CHECKING

import prometheus_client
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

import xmlsocket

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

GAUGES = {"connections", "memory", "queued_in", "queued_out"}


class Exporter(Collector):
    """Makes a metric of every figure, when it is asked."""

    def __init__(self, stats: Callable[[], xmlsocket.ServerStats]) -> None:
        self.stats = stats

    def collect(self) -> Iterator[Metric]:
        """Return counters and gauges; what is counted by reason has the reason as label."""
        for name, value in dataclasses.asdict(self.stats()).items():
            family = GaugeMetricFamily if name in GAUGES else CounterMetricFamily
            counts = value if isinstance(value, dict) else {"": value}
            metric = family(f"xmlsocket_{name}", f"ServerStats.{name}", labels=["reason"])
            for reason, count in counts.items():
                metric.add_metric([reason], count)
            yield metric


async def main() -> None:
    """Listen until Ctrl-C."""

    async def echo(connection: xmlsocket.Connection[bytes]) -> None:
        async for frames in connection.batches():
            await connection.send_many(frames)

    async with xmlsocket.serve(echo, "127.0.0.1", 9339, parse=bytes) as server:

        async def stats() -> xmlsocket.ServerStats:
            return server.stats()

        # Metrics are asked for in a thread; servers belong to their event loop.
        loop = asyncio.get_running_loop()
        exporter = Exporter(lambda: asyncio.run_coroutine_threadsafe(stats(), loop).result(5))
        await asyncio.to_thread(prometheus_client.REGISTRY.register, exporter)  # asks at once
        prometheus_client.start_http_server(9340, "127.0.0.1")
        await server.serve_forever()


asyncio.run(main())
