# SPDX-License-Identifier: Apache-2.0
"""Charts of what analyses found, one kind for each."""

from .chart import Chart as Chart
from .figures import chart as chart
