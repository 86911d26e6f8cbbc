{{/* The port and the probes of a process that serves nobody: nothing waits for it to be ready. */}}
{{- define "rqube.metricsContainer" -}}
{{- $get := dict "path" "/livez" "port" "metrics" -}}
ports:
  - {name: metrics, containerPort: 9100}
startupProbe:
  httpGet: {{- toYaml $get | nindent 4 }}
  timeoutSeconds: 5
  periodSeconds: 1
  failureThreshold: 60
livenessProbe:
  httpGet: {{- toYaml $get | nindent 4 }}
  timeoutSeconds: 5
  periodSeconds: 10
  failureThreshold: 3
{{- end }}
