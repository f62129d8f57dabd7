"""The real application, with two more routes that do nothing: what serving costs without us."""

from __future__ import annotations

import sys
from pathlib import Path

import uvicorn
from fastapi import Request, Response

from everloop.serving.app import create_app
from everloop.serving.configuration import ServiceConfig
from everloop.serving.fast_lane import Body, FastLane
from everloop.serving.opening import opened
from everloop.serving.service import Service
from everloop.serving.workers import (
    BACKLOG,
    KEEP_ALIVE_S,
    bind,
    raise_file_limit,
    tune_interpreter,
)


def main(home: str) -> None:
    raise_file_limit()
    config = ServiceConfig(home=Path(home), requests_per_second=1e7, request_burst=1e8, train=False)
    with opened(config) as service:
        app = create_app(service)

        @app.post("/bare", status_code=201)
        async def bare(request: Request) -> Response:
            await request.body()
            return Response(b'{"status":"stored"}', 201, media_type="application/json")

        async def nothing(_: Service, __: Request, body: Body) -> bytes:
            await body()
            return b'{"status":"stored"}'

        app.lane = FastLane(app.lane, service, {"/bare/fast": (201, nothing)})
        tune_interpreter()
        listening = bind("127.0.0.1", 0)
        print(listening.getsockname()[1], flush=True)
        uvicorn.Server(
            uvicorn.Config(
                app,
                loop="uvloop",
                http="httptools",
                lifespan="off",
                log_level="warning",
                access_log=False,
                server_header=False,
                backlog=BACKLOG,
                timeout_keep_alive=KEEP_ALIVE_S,
            )
        ).run(sockets=[listening])


if __name__ == "__main__":
    main(sys.argv[1])
