"""Tests of free ports: outside what connections are given, never the same for two workers of one machine."""

import socket

from features.free_ports import LOWEST, RANGE, is_free, port_of

WORKERS = ["tcp://a:1", "tcp://a:2", "tcp://b:1"]


def test_a_port_is_outside_the_range_that_connections_are_given() -> None:
    low = int(RANGE.read_text().split()[0]) if RANGE.is_file() else 32768
    ports = {port_of(WORKERS[0], WORKERS) for _ in range(200)}
    assert min(ports) >= LOWEST
    assert low < 2 * LOWEST or max(ports) < low
    assert len(ports) > 100


def test_workers_of_one_machine_are_never_given_the_same_port() -> None:
    found = [{port_of(worker, WORKERS) % len(WORKERS) for _ in range(50)} for worker in WORKERS]
    assert sorted(map(len, found)) == [1, 1, 1]
    assert len(set.union(*found)) == 3


def test_a_port_where_somebody_listens_is_not_free() -> None:
    port = port_of(WORKERS[1], WORKERS)
    assert is_free(port)
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        assert not is_free(port)
