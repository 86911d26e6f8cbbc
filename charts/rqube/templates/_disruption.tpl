{{/* A PodDisruptionBudget, if wanted. Takes root, name, component, config and, for workers, pool. */}}
{{- define "rqube.disruptionBudget" -}}
{{- if .config.podDisruptionBudget.enabled }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ .name }}
  labels: {{- include "rqube.labels" . | nindent 4 }}
spec:
  maxUnavailable: {{ .config.podDisruptionBudget.maxUnavailable }}
  # A pod that does not work must not keep its node from being drained.
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels: {{- include "rqube.selector" . | nindent 6 }}
{{- end }}
{{- end }}
