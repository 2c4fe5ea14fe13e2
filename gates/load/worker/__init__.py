"""The load generator, a process of its own: a job as JSON on stdin, recordings as JSON on stdout.

Open loop: arrivals follow a seeded Poisson schedule whatever the target does, and latency counts from the
instant the schedule wanted, so a target that stalls is charged for everybody who waited. Nothing else of
lockgate imports locust or gevent: importing locust patches sockets for the whole process.

``__main__`` does the job, ``users`` is locust's part, ``team`` locust's master and workers where several
share the rate, ``window`` one stretch of load, ``pacing`` wakes it in time, ``http`` and ``grpc`` ask.
``describe`` is a process of its own.
"""
