"""Values of the chart for a cluster of ours: its images, which are on the node and nowhere to be pulled from."""

from typing import Any, Final

from .images import KAFKA_IMAGE, PROJECT_IMAGE, REDIS_IMAGE

KAFKA_COMMAND: Final = """
data=/var/lib/kafka-server/data
if [ ! -e $data/meta.properties ]; then mkdir -p $data; cp -R /opt/kafka/formatted/. $data/; fi
exec java -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Xms64m -Xmx256m \
  -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -cp '/opt/kafka/lib/*' kafka.Kafka "$SERVER_PROPERTIES"
"""
"""Starts the broker of the node's own image, which has Kafka's jars and no scripts."""


def image_values() -> dict[str, Any]:
    """Return the chart's values that name the node's images, with the development pair."""
    repository, _, tag = PROJECT_IMAGE.rpartition(":")
    return {
        "image": {"repository": repository, "tag": tag, "pullPolicy": "Never"},
        "development": {
            "enabled": True,
            "kafka": {
                "image": KAFKA_IMAGE,
                "pullPolicy": "Never",
                "command": ["sh", "-ec", KAFKA_COMMAND],
            },
            "redis": {"image": REDIS_IMAGE, "pullPolicy": "Never"},
        },
    }


def trial_values() -> dict[str, Any]:
    """Return values to try the chart with: without disks, which nobody makes on a node of ours."""
    values = image_values()
    values["development"]["persistence"] = {"enabled": False}
    return values
