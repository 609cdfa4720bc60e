{{/* Where Kafka and Redis are, as settings of every pod (docs/reference/settings.md). No secret is among them. */}}
{{- define "alpha-panda.env" -}}
{{- $env := dict "ALPHAPANDA_LOG_FORMAT" "json" -}}
{{- if .Values.development.enabled -}}
{{- $_ := set $env "ALPHAPANDA_KAFKA_BOOTSTRAP_SERVERS" (printf "%s.%s.svc:9092" (include "alpha-panda.kafka" .) .Release.Namespace) -}}
{{- $_ := set $env "ALPHAPANDA_REDIS_URL" (printf "redis://%s.%s.svc:6379/0" (include "alpha-panda.redis" .) .Release.Namespace) -}}
{{- else -}}
{{- with .Values.kafka -}}
{{- $_ := set $env "ALPHAPANDA_KAFKA_BOOTSTRAP_SERVERS" .bootstrapServers -}}
{{- $_ := set $env "ALPHAPANDA_KAFKA_SECURITY_PROTOCOL" .securityProtocol -}}
{{- if hasPrefix "SASL_" .securityProtocol -}}
{{- $_ := set $env "ALPHAPANDA_KAFKA_SASL_MECHANISM" .saslMechanism -}}
{{- end -}}
{{- include "alpha-panda.tlsFiles" (list $env "KAFKA" .tls) -}}
{{- end -}}
{{- with .Values.redis -}}
{{- $_ := set $env "ALPHAPANDA_REDIS_URL" .url -}}
{{- include "alpha-panda.tlsFiles" (list $env "REDIS" .tls) -}}
{{- end -}}
{{- with .Values.journalRedis.url -}}
{{- $_ := set $env "ALPHAPANDA_JOURNAL_REDIS_URL" . -}}
{{- end -}}
{{- end -}}
{{- with .Values.kafka.replicationFactor -}}
{{- $_ := set $env "ALPHAPANDA_KAFKA_REPLICATION_FACTOR" (toString .) -}}
{{- end -}}
{{- range $name, $value := .Values.env -}}
{{- $_ := set $env $name (include "alpha-panda.text" $value) -}}
{{- end -}}
{{- toYaml $env -}}
{{- end -}}

{{- define "alpha-panda.tlsFiles" -}}
{{- $env := index . 0 -}}{{- $store := index . 1 -}}{{- $tls := index . 2 -}}
{{- range $key, $name := dict "caFile" "CA_FILE" "certFile" "CERT_FILE" "keyFile" "KEY_FILE" -}}
{{- with index $tls $key -}}{{- $_ := set $env (printf "ALPHAPANDA_%s_TLS_%s" $store $name) . -}}{{- end -}}
{{- end -}}
{{- end -}}

{{/* Which keys a credentials Secret has, by the way Kafka and Redis are spoken to: a YAML list. */}}
{{- define "alpha-panda.credentialKeys" -}}
{{- $keys := list -}}
{{- if not .Values.development.enabled -}}
{{- if hasPrefix "SASL_" .Values.kafka.securityProtocol -}}
{{- $keys = concat $keys (list "kafka-sasl-username" "kafka-sasl-password") -}}
{{- end -}}
{{- range $store, $auth := dict "redis" .Values.redis.auth "journal-redis" .Values.journalRedis.auth -}}
{{- if eq $auth "User" -}}{{- $keys = append $keys (printf "%s-username" $store) -}}{{- end -}}
{{- if ne $auth "None" -}}{{- $keys = append $keys (printf "%s-password" $store) -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- toYaml (sortAlpha $keys) -}}
{{- end -}}

{{/* The connection as the env list of a container of this chart (operator, tests), with the operator's credentials. */}}
{{- define "alpha-panda.containerEnv" -}}
{{- range $name, $value := include "alpha-panda.env" . | fromYaml }}
- {name: {{ $name }}, value: {{ $value | quote }}}
{{- end }}
{{- if .Values.operator.credentialsSecret }}
{{- range $key := include "alpha-panda.credentialKeys" . | fromYamlArray }}
{{- $name := printf "ALPHAPANDA_%s" ($key | replace "-" "_" | upper) }}
{{- if hasSuffix "-password" $key }}
- {name: {{ $name }}_FILE, value: /var/run/alpha-panda/credentials/{{ $key }}}
{{- else }}
- {name: {{ $name }}, valueFrom: {secretKeyRef: {name: {{ $.Values.operator.credentialsSecret | quote }}, key: {{ $key }}}}}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{/* The login of persons' commands, which services never look at: where their setting `person_credentials` looks. */}}
{{- define "alpha-panda.personVolume" -}}
{name: person, secret: {secretName: {{ . | quote }}, optional: true, defaultMode: 0440}}
{{- end -}}

{{- define "alpha-panda.personMount" -}}
{name: person, mountPath: /var/run/alpha-panda/person, readOnly: true}
{{- end -}}

{{- define "alpha-panda.credentialsMount" -}}
{{- if .Values.operator.credentialsSecret }}
- {name: credentials, mountPath: /var/run/alpha-panda/credentials, readOnly: true}
{{- end }}
{{- end -}}

{{- define "alpha-panda.credentialsVolume" -}}
{{- if .Values.operator.credentialsSecret }}
- name: credentials
  secret: {secretName: {{ .Values.operator.credentialsSecret | quote }}, defaultMode: 0440}
{{- end }}
{{- end -}}
