"""The strategy service: one a Strategy; a runner can host several of one feed (names joined by commas)."""

from collections.abc import Mapping

from alpha_panda.contracts.keys import strategy_lease
from alpha_panda.contracts.manifests import ResourceSet
from alpha_panda.contracts.resources import Strategy as StrategyResource
from alpha_panda.contracts.status_details import CODE_RAISED, RUNNING, STARTING, STOPPED, RunnerFigures
from alpha_panda.contracts.topics import TopicMap, ticks_topic
from alpha_panda.contracts.units import nanoseconds
from alpha_panda.ports import Clock
from alpha_panda.runtime.builder import StreamServiceBuilder
from alpha_panda.runtime.context import ServiceContext
from alpha_panda.runtime.dead_letter import dead_letter_topics
from alpha_panda.runtime.registry import ServiceDefinition
from alpha_panda.runtime.service import StreamService
from alpha_panda.runtime.settings import Settings
from alpha_panda.sdk import Strategy, load_strategy_class

from .cell import Cell, CellSpec
from .router import Router
from .runner import USERS_ERRORS, Runner, raised


def build(context: ServiceContext) -> StreamService:
    """Wire a runner for the strategies that the context names, all on one feed.

    The lease keeps a second one waiting; what fences the writes of one that was replaced are its incarnations.
    """
    names = context.resource.split(",")
    strategies = [context.resources.strategies[name] for name in names]
    feed_name = strategies[0].spec.market_feed
    feed = context.resources.feeds[feed_name]
    settings = context.settings
    ticks = ticks_topic(feed_name, feed.spec.partitions, settings.topic_prefix)
    runner_name = names[0] if len(names) == 1 else feed_name
    group = f"{settings.topic_prefix}{runner_name}.strategy"
    runner = Runner(context, group, ticks.name, feed_name)
    runner.cells = [
        _cell(spec, context.ports.clock, runner)
        for strategy in strategies
        for spec in cell_specs(strategy, context.resources, settings)
    ]
    runner.router = Router(runner.cells, ticks.name, ticks.partitions, settings.order_partitions)
    accounts = dict.fromkeys(account for strategy in strategies for account in strategy.spec.accounts)
    topics = [
        TopicMap(account, settings.topic_prefix).specs(settings.order_partitions) for account in accounts
    ]

    def details() -> Mapping[str, str | int | float | bool | None]:
        failed = [cell.failed for cell in runner.cells if cell.failed]
        figures = RunnerFigures(
            feed=feed_name,
            state=STOPPED if failed else RUNNING if runner.service.ready.is_set() else STARTING,
            reason=CODE_RAISED if failed else "",
            message=failed[0] if failed else "",
            last_tick_ts=runner.last_tick_ts,
            signals=sum(cell.signals for cell in runner.cells),
        )
        return {**figures.details(), "cells": len(runner.cells), "failed": len(failed)}

    runner.service = (
        StreamServiceBuilder("strategy", context)
        .log_fields(strategy=context.resource)
        .topics([ticks, *(spec for specs in topics for spec in specs)])
        .topics(
            dead_letter_topics(TopicMap(name, settings.topic_prefix).signals_rejected for name in accounts)
        )
        .with_lease(strategy_lease(runner_name))
        .on_start(runner.claim)
        .consume_with(runner.run, "runner", tells_reading=True)
        .on_stop(runner.checkpoint_all)
        .details(details)
        .build()
    )
    return runner.service


def _cell(spec: CellSpec, clock: Clock, runner: Runner) -> Cell:
    """Return a cell; StrategyError if the strategy's constructor, which is users' code, raises."""
    try:
        return Cell(spec, clock, runner.cause)
    except USERS_ERRORS as error:
        raise raised(spec.strategy_id, spec.account, error) from error


def cell_specs(strategy: StrategyResource, resources: ResourceSet, settings: Settings) -> list[CellSpec]:
    """Return what to build for each of the strategy's accounts; StrategyLoadError if its class can't be had."""
    spec = strategy.spec
    loaded = strategy_class(strategy, resources)
    master = resources.feeds[spec.market_feed].instruments
    ttl = settings.signal_ttl_seconds if spec.signal_ttl_seconds is None else spec.signal_ttl_seconds
    max_age = (
        settings.tick_max_age_seconds if spec.max_tick_age_seconds is None else spec.max_tick_age_seconds
    )
    return [
        CellSpec(
            strategy_id=strategy.metadata.name,
            strategy_uid=strategy.metadata.uid or strategy.metadata.name,
            account=account,
            topics=TopicMap(account, settings.topic_prefix),
            strategy_class=loaded,
            parameters=loaded.Parameters.model_validate(spec.parameters),
            instruments=tuple(master.symbol(symbol) for symbol in spec.instruments),
            signal_ttl=nanoseconds(ttl),
            max_tick_age=nanoseconds(max_age),
        )
        for account in spec.accounts
    ]


def strategy_class(strategy: StrategyResource, resources: ResourceSet) -> type[Strategy]:
    """Return the class that the manifest names, by type, by class path or from a file beside it."""
    spec = strategy.spec
    code = spec.code
    return load_strategy_class(
        type=spec.type,
        class_path=spec.class_,
        code_file=None if code is None else resources.directory_of(strategy) / code.file,
        code_class=None if code is None else code.class_,
    )


SERVICE = ServiceDefinition(name="strategy", kind="Strategy", build=build, start_order=50)
