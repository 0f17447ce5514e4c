"""What all hosts must agree on, and what a run says of its machine."""

import shlex
import sys

import jax
import numpy as np
import pytest
from jax.experimental import multihost_utils

from magan_jax.runtime import environment, first_host_says, join_hosts


def test_a_machine_alone_is_told_what_a_cluster_needs(monkeypatch):
    def initialize():
        raise ValueError("coordinator_address should be defined.")

    monkeypatch.delenv("JAX_COORDINATOR_ADDRESS", raising=False)
    monkeypatch.setattr(jax.distributed, "initialize", initialize)
    monkeypatch.setattr(jax.config, "update", lambda *_: None)
    with pytest.raises(
        ValueError, match="no cluster was found .* set JAX_COORDINATOR_ADDRESS, JAX"
    ):
        join_hosts()


@pytest.mark.parametrize("answer", [True, False])
def test_one_host_is_the_first(answer):
    assert first_host_says(answer) is answer


@pytest.mark.parametrize("first", [True, False])
def test_the_first_hosts_answer_counts(first, monkeypatch):
    given = []

    def broadcast(value):
        given.append(bool(value))
        return np.int32(first)

    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(multihost_utils, "broadcast_one_to_all", broadcast)
    assert first_host_says(not first) is first
    assert given == [not first]  # every host takes part


def test_the_command_can_be_given_again(monkeypatch):
    given = ["experiments/benchmark.py", "--forms", "compiled, in a CUDA graph", "--turns", "3"]
    monkeypatch.setattr(sys, "argv", given)
    assert shlex.split(environment()["command"]) == ["benchmark.py", *given[1:]]
