"""The tests' own server is reached, and no other one that happens to have its port."""

from __future__ import annotations

import socket

import psycopg

from tests.postgresql_server import PostgresqlServer, running_server


def data_of(server: PostgresqlServer) -> str:
    with psycopg.connect(server.url("postgres")) as connection:
        found = connection.execute("SHOW data_directory").fetchone()
    assert found is not None
    return str(found[0])


def test_a_port_that_another_server_took_meanwhile_is_left_to_it(
    postgresql: PostgresqlServer,
) -> None:
    with running_server(started=False) as server:
        server.port = postgresql.port
        server.start()
        assert server.port != postgresql.port
        assert data_of(server) == str(server.data)
        assert data_of(postgresql) == str(postgresql.data)
        port = server.port
        server.restart()
        assert (server.port, data_of(server)) == (port, str(server.data))


def test_a_port_that_anything_else_listens_on_is_left_to_it() -> None:
    with socket.socket() as taken, running_server(started=False) as server:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        server.port = int(taken.getsockname()[1])
        server.start()
        assert data_of(server) == str(server.data)
