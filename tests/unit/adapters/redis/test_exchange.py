"""Calls that are made at the same moment share a write, and each learns its own outcome."""

import asyncio
from typing import Final

import pytest

from adapters.redis.canned import Canned, answering
from alpha_panda.adapters.redis.exchange import MOST_AT_ONCE
from alpha_panda.errors import DependencyUnavailableError, UnknownOutcomeError
