{{- define "alpha-panda.kafkaProperties" -}}
{{- $host := printf "%s.%s.svc" (include "alpha-panda.kafka" .) .Release.Namespace -}}
{{- $settings := dict
  "process.roles" "broker,controller"
  "node.id" "1"
  "controller.quorum.voters" "1@localhost:9093"
  "controller.listener.names" "CONTROLLER"
  "inter.broker.listener.name" "PLAINTEXT"
  "listeners" "PLAINTEXT://:9092,FORWARDED://:9094,CONTROLLER://localhost:9093"
  "advertised.listeners" (printf "PLAINTEXT://%s:9092,FORWARDED://localhost:9094" $host)
  "listener.security.protocol.map" "PLAINTEXT:PLAINTEXT,FORWARDED:PLAINTEXT,CONTROLLER:PLAINTEXT"
  "log.dirs" "/var/lib/kafka-server/data"
  "auto.create.topics.enable" "false"
  "offsets.topic.replication.factor" "1"
  "offsets.topic.num.partitions" "4"
  "transaction.state.log.replication.factor" "1"
  "transaction.state.log.min.isr" "1"
  "share.coordinator.state.topic.replication.factor" "1"
  "share.coordinator.state.topic.min.isr" "1"
  "group.initial.rebalance.delay.ms" "0"
  "offsets.retention.minutes" "20160"
-}}
{{- range $name, $value := .Values.development.kafka.settings -}}
{{- $_ := set $settings $name (include "alpha-panda.text" $value) -}}
{{- end -}}
{{- range $name, $value := $settings }}
{{ $name }}={{ $value }}
{{- end -}}
{{- end -}}

{{/* The claim of the one data disk. Call with (list $ size). */}}
{{- define "alpha-panda.claim" -}}
{{- $persistence := (index . 0).Values.development.persistence -}}
- metadata:
    name: data
  spec:
    accessModes: [ReadWriteOnce]
    {{- if eq $persistence.storageClass "-" }}
    storageClassName: ""
    {{- else if $persistence.storageClass }}
    storageClassName: {{ $persistence.storageClass }}
    {{- end }}
    resources:
      requests: {storage: {{ index . 1 }}}
{{- end -}}
