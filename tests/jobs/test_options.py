"""Amounts that are too small, too large or not finite are refused with one line."""

import pytest
from typer.testing import CliRunner

from jobs.app import app
from pipeline.errors import OptionError


@pytest.mark.parametrize(
    "option",
    [
        "--limit=9223372036854775808", "--plan-memory=100000000PB", "--cpus=inf", "--cpus=1e308",
        "--memory=9999999999PB", "--fetch-timeout=0", "--fetch-timeout=99999999999", "--connect-timeout=-1",
        "--max-photo-size=0", "--max-photo-size=inf", "--max-pixels=0", "--max-pixels=99999999999999",
        "--fetch-threads=0", "--gpus=99999999999999999999",
    ],
)  # fmt: skip
def test_absurd_amounts_are_option_errors(option: str) -> None:
    result = CliRunner().invoke(app, ["convert", "photos", "--output", "out", "--recipe", "demo", option])
    assert isinstance(result.exception, OptionError)
    assert option.partition("=")[0] in str(result.exception)


@pytest.mark.parametrize("rate", ["inf", "nan", "1e308", "0"])
def test_an_absurd_rate_is_a_usage_error(rate: str) -> None:
    assert CliRunner().invoke(app, ["manifest", "photos", "-o", "m.parquet", "--rate", rate]).exit_code == 2


def test_an_empty_output_is_an_option_error() -> None:
    result = CliRunner().invoke(app, ["convert", "photos", "--output", "", "--recipe", "demo"])
    assert isinstance(result.exception, OptionError)
