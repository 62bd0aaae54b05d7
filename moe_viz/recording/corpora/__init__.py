# SPDX-License-Identifier: Apache-2.0
"""Corpora: a plan of shards, and the engines that record it."""

from .corpus import record_corpus as record_corpus
