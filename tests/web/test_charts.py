"""Charts: the right shape from the figures, nothing inline, and the same figures for whoever does not see them."""

import re

import pytest

from mailer.reports.charts import Series, figures, line_chart, nice_top, state_bar


@pytest.mark.parametrize("highest", [0, 3, 7, 12, 100, 2190, 1_000_000])
def test_the_axis_ends_at_a_round_number_above_the_highest_value(highest):
    top, step = nice_top(highest)

    assert top >= highest
    assert top % step == 0
    assert top / step <= 6


def test_a_chart_says_what_it_shows_and_draws_each_line():
    svg = line_chart(
        [Series("Opens", [1, 4, 2]), Series("Clicks", [0, 1, 0])], ["+0", "", "+2"], title="By <hour>", description="4 at most"
    )

    assert svg.count("<svg") == 2
    assert svg.count("<polyline") == 4
    assert "By &lt;hour&gt;" in svg
    assert "4 at most" in svg
    assert not re.search(r" style=|<style|<script", svg)


def test_the_table_has_the_same_figures():
    table = figures([Series("Opens", [1, 4000])], ["first", "second"], caption="Hours", first_column="Hour")

    assert "4,000" in table
    assert table.count("<tr>") == 3


def test_the_bar_of_states_divides_the_whole():
    bar = state_bar([("accepted", 3), ("rejected", 0), ("queued", 1)], title="States")

    drawn = re.findall(r'class="(\w+)" x="([\d.]+)" width="([\d.]+)"', bar)
    assert drawn == [("accepted", "0.00", "750.00"), ("queued", "750.00", "250.00")]
