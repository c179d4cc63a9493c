"""The alerts and the dashboard speak of metrics that there are."""

import json
import re
from pathlib import Path

import pytest
import yaml
from gateway_scene import Scene
from prometheus_client.parser import text_string_to_metric_families

DEPLOY = Path(__file__).parents[3] / "deploy"
NAME = re.compile(r"\b(?:deltanas|process)_[a-z_]+")


def alerts() -> list[str]:
    rules = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())
    return [rule["expr"] for group in rules["groups"] for rule in group["rules"]]


def panels() -> list[str]:
    dashboard = json.loads((DEPLOY / "grafana" / "deltanas.json").read_text())
    return [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]


@pytest.mark.parametrize("expressions", [alerts(), panels()], ids=["alerts", "dashboard"])
def test_every_metric_that_is_asked_for_is_told(scene: Scene, expressions):
    told = {family.name for family in text_string_to_metric_families(scene.http.get("/metrics").text)}
    asked = {name for expression in expressions for name in NAME.findall(expression)}
    assert len(asked) > 5
    unknown = {name for name in asked if re.sub(r"_(total|bucket|count|sum)$", "", name) not in told}
    assert unknown == set()


def test_what_every_gateway_tells_alike_is_never_summed_over_gateways():
    of_the_farm = re.compile(
        r"sum(?: by \([a-z, ]*\))? ?\((?:rate|increase)?\(?deltanas_(?!http|database)", re.ASCII
    )
    assert [expression for expression in (*alerts(), *panels()) if of_the_farm.search(expression)] == []
