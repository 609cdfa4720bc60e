{{- define "alpha-panda.testContainer" -}}
env:
  - {name: ALPHAPANDA_INSTALLATION, value: {{ include "alpha-panda.installation" . | quote }}}
  {{- include "alpha-panda.containerEnv" . | trim | nindent 2 }}
  {{- with .Values.operator.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
resources:
  requests: {cpu: 50m, memory: 96Mi}
  limits: {memory: 256Mi}
securityContext:
  {{- include "alpha-panda.containerSecurity" . | nindent 2 }}
{{- $mounts := include "alpha-panda.credentialsMount" . | trim }}
{{- if or $mounts .Values.operator.extraVolumeMounts }}
volumeMounts:
  {{- with $mounts }}
  {{- . | nindent 2 }}
  {{- end }}
  {{- with .Values.operator.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "alpha-panda.testVolumes" -}}
{{- include "alpha-panda.credentialsVolume" . }}
{{- with .Values.operator.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end -}}
