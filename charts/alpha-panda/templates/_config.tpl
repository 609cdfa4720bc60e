{{/*
The operator's own configuration, a YAML file: its model is alpha_panda_operator.config.OperatorConfig, and a test reads
what is rendered here by that model. operator.config goes over it, for what has no value of its own.
*/}}
{{- define "alpha-panda.config" -}}
{{- $config := include "alpha-panda.baseConfig" . | fromYaml -}}
{{- toYaml (mergeOverwrite $config (deepCopy .Values.operator.config)) -}}
{{- end -}}

{{- define "alpha-panda.baseConfig" -}}
installation: {{ include "alpha-panda.installation" . }}
watchNamespaces: {{ .Values.watchNamespaces | toJson }}
# People write no label into their manifests: all that is where it watches is its own.
serveUnlabelled: true
platformConfigMap: {{ include "alpha-panda.platform" . }}
leader: {leaseName: {{ include "alpha-panda.operator" . }}}
healthPort: {{ .Values.operator.port }}
topicPrefix: {{ .Values.topicPrefix | quote }}
controlTtlSeconds: {{ .Values.control.ttlSeconds }}
controlRenewSeconds: {{ .Values.control.renewSeconds }}
resyncSeconds: {{ .Values.resyncSeconds }}
statusSeconds: {{ .Values.statusSeconds }}
teardownSeconds: {{ .Values.teardownSeconds }}
image:
  repository: {{ .Values.image.repository | quote }}
  tag: {{ default .Chart.AppVersion .Values.image.tag | quote }}
  {{- with .Values.image.digest }}
  digest: {{ . | quote }}
  {{- end }}
  pullPolicy: {{ .Values.image.pullPolicy }}
  {{- $secrets := list }}
  {{- range .Values.imagePullSecrets }}{{ $secrets = append $secrets .name }}{{ end }}
  pullSecrets: {{ toJson $secrets }}
env:
  {{- include "alpha-panda.env" . | nindent 2 }}
credentialKeys: {{ include "alpha-panda.credentialKeys" . | fromYamlArray | toJson }}
defaults: {{ .Values.roles.defaults | toJson }}
roles: {{ include "alpha-panda.roles" . }}
networkPolicy:
  enabled: {{ .Values.networkPolicy.enabled }}
  {{- range $store, $port := dict "kafka" 9092 "redis" 6379 }}
  {{- if $.Values.development.enabled }}
  {{ $store }}:
    - to:
        - namespaceSelector:
            matchLabels: {kubernetes.io/metadata.name: {{ $.Release.Namespace }}}
          podSelector:
            matchLabels:
              {{- include "alpha-panda.selector" (list $ $store) | nindent 14 }}
      ports:
        - {protocol: TCP, port: {{ $port }}}
  {{- else }}
  {{ $store }}: {{ include "alpha-panda.egress" (list $ $store) }}
  {{- end }}
  {{- end }}
  otlp: {{ .Values.networkPolicy.otlp | toJson }}
  broker: {{ .Values.networkPolicy.broker | toJson }}
  metrics: {{ .Values.networkPolicy.metrics | toJson }}
{{- end -}}

{{/* What the roles say, as JSON; persons' login goes to risk, beside the volumes that it would have anyway. */}}
{{- define "alpha-panda.roles" -}}
{{- $roles := deepCopy (omit .Values.roles "defaults") -}}
{{- with .Values.personSecret.accounts -}}
{{- $more := dict "extraVolumes" (include "alpha-panda.personVolume" .) "extraVolumeMounts" (include "alpha-panda.personMount" .) -}}
{{- range $field, $text := $more -}}
{{- $own := dig $field (dig $field list $.Values.roles.defaults) $roles.risk -}}
{{- $_ := set $roles.risk $field (prepend $own ($text | fromYaml)) -}}
{{- end -}}
{{- end -}}
{{- toJson $roles -}}
{{- end -}}

{{/*
Egress rules to your own Kafka or Redis, as JSON: what networkPolicy says, else any address at the ports of those that are
named. Call with (list $ "kafka").
*/}}
{{- define "alpha-panda.egress" -}}
{{- $values := (index . 0).Values -}}
{{- $told := index $values.networkPolicy (index . 1) -}}
{{- if $told -}}
{{- toJson $told -}}
{{- else -}}
{{- $addresses := splitList "," $values.kafka.bootstrapServers -}}
{{- if eq (index . 1) "redis" -}}
{{- $addresses = list -}}
{{- range compact (list $values.redis.url $values.journalRedis.url) -}}
{{- $host := get (urlParse .) "host" -}}
{{- $addresses = append $addresses (ternary $host (printf "%s:6379" $host) (regexMatch ":[0-9]+$" $host)) -}}
{{- end -}}
{{- end -}}
{{- $ports := list -}}
{{- range $addresses -}}
{{- $ports = append $ports (dict "protocol" "TCP" "port" (regexFind "[0-9]+$" . | int)) -}}
{{- end -}}
{{- list (dict "ports" (uniq $ports)) | toJson -}}
{{- end -}}
{{- end -}}
