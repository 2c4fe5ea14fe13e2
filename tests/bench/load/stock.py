"""Locust as it comes, for comparison: ``locust -f stock.py``; 10 requests a second from each user."""

from __future__ import annotations

import os

from locust import FastHttpUser, constant_throughput, task

BODY = os.environ["LOAD_BODY"]


class Caller(FastHttpUser):
    """Sends the same row again and again, at a constant throughput."""

    wait_time = constant_throughput(10)

    @task
    def infer(self) -> None:
        self.client.post("/v2/models/known/infer", data=BODY, headers={"Content-Type": "application/json"})
