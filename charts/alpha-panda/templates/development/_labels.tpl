{{/* Labels of a stateful pod: nothing that changes with the release, or an upgrade would restart it. */}}
{{- define "alpha-panda.podLabels" -}}
{{ include "alpha-panda.selector" . }}
{{- with (index . 0).Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}
