"""JAX as a careful person writes it: resident arrays, one scan over steps, vmap over members."""

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from time import perf_counter
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from benchmarks.training_speed.peers import Run
from benchmarks.training_speed.setting import (
    LEARNING_RATE,
    MODELS,
    Model,
    Setting,
    dense_widths,
    load_rows,
)

Weights = list[tuple[Array, Array]]
State = tuple[Weights, Weights, Weights, Array]
BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8


def build(setting: Setting) -> Run:
    if MODELS[setting.model].blocks:
        raise ValueError("residual nets are compared in torch alone")
    images, classes = load_rows(setting)
    inputs = jnp.asarray(images[..., None], jnp.float32) / 255
    labels = jnp.asarray(classes, jnp.int32)
    model = MODELS[setting.model]
    rng = np.random.default_rng(0)
    shared = setting.order == "shared"
    states: dict[int, State] = {}
    programs: dict[int, Callable[..., State]] = {}

    def run(members: int, steps: int) -> float:
        if members not in states:
            states[members] = _start(model, members)
            programs[members] = _program(model, members, shared)
        orders = 1 if shared else members
        index = jnp.asarray(_batches(rng, orders, len(inputs), setting.batch, steps))
        jax.block_until_ready((states[members], index))
        started = perf_counter()
        state = programs[members](states[members], inputs, labels, index)
        states[members] = jax.block_until_ready(state)
        return perf_counter() - started

    return run


def _program(model: Model, members: int, shared: bool) -> Callable[..., State]:
    """(state of K members, inputs, labels, (steps, K or 1, B) rows) -> state after the steps."""
    step = partial(_step, model)
    if members > 1:  # one member needs no vmap, and vmap would make its convolutions grouped ones
        step = jax.vmap(step, in_axes=(0, None, None) if shared else (0, 0, 0))

    def move(state: State, inputs: Array, labels: Array, rows: Array) -> State:
        rows = rows[0] if len(rows) == 1 else rows
        return step(state, inputs[rows], labels[rows])

    def scan(state: State, inputs: Array, labels: Array, index: Array) -> State:
        return lax.scan(lambda at, rows: (move(at, inputs, labels, rows), None), state, index)[0]

    def loop(state: State, inputs: Array, labels: Array, index: Array) -> State:
        for rows in index:
            state = compiled(state, inputs, labels, rows)
        return state

    if not model.channels:
        return jax.jit(scan, donate_argnums=0)
    # Inside a scan, XLA on a CPU computes convolutions many times slower than outside one.
    compiled = jax.jit(move, donate_argnums=0)
    return loop


def _step(model: Model, state: State, inputs: Array, labels: Array) -> State:
    """Adam as in its paper, on one member."""
    weights, first, second, count = state
    gradients = jax.grad(partial(_loss, model))(weights, inputs, labels)
    count = count + 1
    first = jax.tree.map(lambda m, g: BETA_1 * m + (1 - BETA_1) * g, first, gradients)
    second = jax.tree.map(lambda v, g: BETA_2 * v + (1 - BETA_2) * g * g, second, gradients)
    rate = LEARNING_RATE / (1 - BETA_1**count)
    correct = 1 / (1 - BETA_2**count)

    def move(weight: Array, m: Array, v: Array) -> Array:
        return weight - rate * m / (jnp.sqrt(v * correct) + EPSILON)

    return jax.tree.map(move, weights, first, second), first, second, count


def _loss(model: Model, weights: Weights, inputs: Array, labels: Array) -> Array:
    x = inputs
    convolutions, dense = weights[: len(model.channels)], weights[len(model.channels) :]
    for weight, bias in convolutions:
        x = lax.conv_general_dilated(
            x, weight, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        x = jax.nn.relu(x + bias)
        x = lax.reduce_window(x, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
    x = x.reshape(len(x), -1)
    for weight, bias in dense[:-1]:
        x = jax.nn.relu(x @ weight + bias)
    weight, bias = dense[-1]
    log_probs = jax.nn.log_softmax(x @ weight + bias)
    return -jnp.take_along_axis(log_probs, labels[:, None], axis=1).mean()


def _start(model: Model, members: int) -> State:
    """K members' weights, moments and step counts, side by side; one member without that axis."""
    keys = jax.random.split(jax.random.key(0), members)
    return (
        _start_one(model, keys[0]) if members == 1 else jax.vmap(partial(_start_one, model))(keys)
    )


def _start_one(model: Model, key: Array) -> State:
    shapes: list[tuple[int, ...]] = [(3, 3, *pair) for pair in pairwise((1, *model.channels))]
    shapes += list(pairwise(dense_widths(model)))
    weights: Weights = []
    for shape in shapes:
        key, own = jax.random.split(key)
        bound = float(np.prod(shape[:-1])) ** -0.5
        weight = jax.random.uniform(own, shape, minval=-bound, maxval=bound)
        weights.append((weight, jnp.zeros(shape[-1])))
    zeros = partial(jax.tree.map, jnp.zeros_like)
    return weights, zeros(weights), zeros(weights), jnp.zeros((), jnp.int32)


def _batches(
    rng: np.random.Generator, orders: int, rows: int, batch: int, steps: int
) -> np.ndarray[Any, np.dtype[np.int32]]:
    """(steps, orders, B) rows; `steps` fit into one pass."""
    passes = [rng.permutation(rows)[: steps * batch] for _ in range(orders)]
    return np.stack(passes).reshape(orders, steps, batch).swapaxes(0, 1).astype(np.int32)
