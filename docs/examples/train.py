"""A training loop with worker processes, and the cost of each epoch."""

from __future__ import annotations

import multiprocessing
import random

import prock

Batch = list[tuple[float, float]]


def gradient(weight: float, batch: Batch) -> float:
    return sum(2 * x * (weight * x - y) for x, y in batch) / len(batch)


def batches(count: int, size: int) -> list[Batch]:
    points = [random.uniform(-1, 1) for _ in range(count * size)]
    pairs = [(x, 3 * x) for x in points]
    return [pairs[start : start + size] for start in range(0, len(pairs), size)]


def main() -> None:
    weight = 0.0
    data = batches(count=20, size=10_000)
    with multiprocessing.Pool(2) as pool:
        for epoch in range(3):
            with prock.Monitor(interval=0.05) as monitor:
                gradients = pool.starmap(gradient, ((weight, b) for b in data))
                weight -= sum(gradients) / len(gradients)
            cost = monitor.result
            assert cost is not None
            print(
                f"epoch {epoch}: weight {weight:.2f}, {cost.cpu_ns / 1e9:.2f} s CPU, "
                f"peak {(cost.peak_rss_bytes or 0) >> 20} MiB RSS, "
                f"{cost.peak_process_count} processes"
            )


if __name__ == "__main__":
    main()
