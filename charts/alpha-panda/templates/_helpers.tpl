{{/*
Names. All objects begin with the release's name: `trading` makes trading-operator, trading-platform …
At most 46 characters: a Job's name (NAME-uninstall-check) becomes a label of 63, and a StatefulSet's (NAME-kafka) one with
a hash behind it. A longer one is cut, with a hash of the whole, so that two don't meet.
*/}}
{{- define "alpha-panda.fullname" -}}
{{- $name := default .Release.Name .Values.fullnameOverride -}}
{{- if gt (len $name) 46 -}}{{ trunc 37 $name | trimSuffix "-" }}-{{ sha256sum $name | trunc 8 }}{{- else -}}{{ $name }}{{- end -}}
{{- end -}}

{{- define "alpha-panda.operator" -}}{{ include "alpha-panda.fullname" . }}-operator{{- end -}}
{{- define "alpha-panda.platform" -}}{{ include "alpha-panda.fullname" . }}-platform{{- end -}}
{{- define "alpha-panda.kafka" -}}{{ include "alpha-panda.fullname" . }}-kafka{{- end -}}
{{- define "alpha-panda.redis" -}}{{ include "alpha-panda.fullname" . }}-redis{{- end -}}

{{/* Cluster-wide objects carry the namespace too, so that two releases of one name in two namespaces don't collide. */}}
{{- define "alpha-panda.clusterName" -}}alpha-panda:{{ .Release.Namespace }}:{{ include "alpha-panda.fullname" . }}{{- end -}}

{{/* Marks what belongs to this installation: a label of its workloads and the scope of the platform's control keys. */}}
{{- define "alpha-panda.installation" -}}
{{- $name := default (printf "%s-%s" .Release.Namespace (include "alpha-panda.fullname" .)) .Values.installation -}}
{{- if gt (len $name) 40 -}}{{ trunc 31 $name }}-{{ sha256sum $name | trunc 8 }}{{- else -}}{{ $name }}{{- end -}}
{{- end -}}

{{- define "alpha-panda.serviceAccount" -}}
{{- if .Values.operator.serviceAccount.create -}}
{{- default (include "alpha-panda.operator" .) .Values.operator.serviceAccount.name -}}
{{- else -}}
{{- .Values.operator.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "alpha-panda.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}{{ .repository }}@{{ .digest }}{{- else -}}{{ .repository }}:{{ default $.Chart.AppVersion .tag }}{{- end -}}
{{- end -}}
{{- end -}}

{{/* Labels. Call with (list $ "component"). */}}
{{- define "alpha-panda.selector" -}}
app.kubernetes.io/name: alpha-panda
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{- define "alpha-panda.labels" -}}
{{- $root := index . 0 -}}
{{ include "alpha-panda.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- with $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/*
Metadata of an object. Call with a dict: root, component, name; optionally annotations, labels, namespace (the release's
if it is not given, none if it is empty).
*/}}
{{- define "alpha-panda.metadata" -}}
name: {{ .name | quote }}
{{- with ternary .namespace .root.Release.Namespace (hasKey . "namespace") }}
namespace: {{ . }}
{{- end }}
labels:
  {{- include "alpha-panda.labels" (list .root .component) | nindent 2 }}
  {{- with .labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with merge (deepCopy (default dict .annotations)) .root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* A value as people write it. A number from a file of values is a float, which would be printed as 1e+06. */}}
{{- define "alpha-panda.text" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) -}}{{ printf "%.0f" . }}{{- else if kindIs "float64" . -}}{{ toJson . }}{{- else -}}{{ toString . }}{{- end -}}
{{- end -}}

{{/* Security: nothing that a restricted namespace would refuse. 10001 is the image's user. */}}
{{- define "alpha-panda.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "alpha-panda.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}
