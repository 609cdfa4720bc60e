{{/*
A file of rules, as it is for this installation. The files are read by Prometheus (and tested) without Helm, so they name
what Helm knows by words that are true without it too; rules/operator.yaml lists them. Call with (list $ "rules/FILE").
*/}}
{{- define "alpha-panda.alerts" -}}
{{- $root := index . 0 -}}
{{- $pods := printf "namespace=%q,pod=~\"%s-.*\"" $root.Release.Namespace (include "alpha-panda.operator" $root) -}}
{{- $url := trimSuffix "/" $root.Values.monitoring.prometheusRule.runbookUrl -}}
{{- $root.Files.Get (index . 1)
  | replace "pod=~\".*-operator-.*\"" $pods
  | replace "60 / 2" (printf "%s / 2" (include "alpha-panda.text" $root.Values.control.ttlSeconds))
  | replace "installation: alpha-panda}" (printf "installation: %q}" (include "alpha-panda.installation" $root))
  | replace "installation alpha-panda" (printf "installation %s" (include "alpha-panda.installation" $root))
  | replace "runbook_url: docs/runbooks/" (printf "runbook_url: %s/" $url) -}}
{{- end -}}
