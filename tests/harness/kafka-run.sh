#!/bin/sh
# Starts Kafka in a pod. KAFKA_A_B=x becomes the setting a.b=x, as in the image apache/kafka (`__` is `_`, `___` is `-`);
# without KAFKA_PROCESS_ROLES it is a single node, broker and controller, that advertises KAFKA_HOST on port 9092.
# The pod needs `enableServiceLinks: false`: else a Service named kafka sets KAFKA_PORT and more.
set -eu
data=${KAFKA_LOG_DIRS:-/var/lib/kafka/data}
settings=${TMPDIR:-/tmp}/server.properties
host=${KAFKA_HOST:-$(hostname)}
unset KAFKA_HOST

if [ -z "${KAFKA_PROCESS_ROLES:-}" ]; then
  export KAFKA_PROCESS_ROLES=broker,controller KAFKA_NODE_ID=1
  export KAFKA_CONTROLLER_QUORUM_VOTERS=1@127.0.0.1:9093 KAFKA_CONTROLLER_LISTENER_NAMES=CONTROLLER
  export KAFKA_LISTENERS=PLAINTEXT://:9092,CONTROLLER://127.0.0.1:9093
  export KAFKA_ADVERTISED_LISTENERS="PLAINTEXT://$host:9092"
  export KAFKA_LISTENER_SECURITY_PROTOCOL_MAP=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
  export KAFKA_AUTO_CREATE_TOPICS_ENABLE=false KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS=0
  export KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR=1 KAFKA_OFFSETS_TOPIC_NUM_PARTITIONS=1
  export KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR=1 KAFKA_TRANSACTION_STATE_LOG_MIN_ISR=1
fi
export KAFKA_LOG_DIRS="$data"

env | sed -n 's/^KAFKA_\([A-Z0-9_]*\)=\(.*\)$/\1 \2/p' | while read -r name value; do
  case $name in HEAP_OPTS | OPTS | JVM_PERFORMANCE_OPTS) continue ;; esac
  printf '%s=%s\n' "$(echo "$name" | sed 's/___/-/g; s/__/%/g; s/_/./g; s/%/_/g' | tr '[:upper:]' '[:lower:]')" "$value"
done >"$settings"

if [ ! -e "$data/meta.properties" ]; then # a log directory that was formatted when the image was made
  mkdir -p "$data"
  cp -R /opt/kafka/formatted/. "$data/"
fi
# shellcheck disable=SC2086 # lists of words
exec java -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:-UsePerfData ${KAFKA_HEAP_OPTS:--Xms64m -Xmx256m} \
  -Dorg.slf4j.simpleLogger.defaultLogLevel=${KAFKA_LOG_LEVEL:-warn} -cp '/opt/kafka/lib/*' kafka.Kafka "$settings"
