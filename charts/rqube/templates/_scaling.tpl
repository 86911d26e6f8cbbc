{{/*
A pool follows what waits and what runs in its queues, as Redis tells: three triggers for each queue, whose names the
formula knows. q: ids that wait; r: jobs that run; p: 1 while the queue is paused, when what waits starts nothing.
Without the formula KEDA would take the greatest, and scale to nothing under running jobs.
Takes root, name, pool and config.
*/}}
{{- define "rqube.scaledObject" -}}
{{- $scaling := .config.autoscaling }}
{{- $redis := .root.Values.redis }}
{{- $terms := list }}
{{- range $n, $_ := .config.queues }}
{{- $terms = append $terms (printf "(p_%d > 0 ? 0.0 : q_%d) + r_%d" $n $n $n) }}
{{- end }}
---
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata:
  name: {{ .name }}
  labels: {{- include "rqube.labels" (dict "root" .root "component" "worker" "pool" .pool) | nindent 4 }}
  {{- if $scaling.paused }}
  annotations: {autoscaling.keda.sh/paused: "true"}
  {{- end }}
spec:
  scaleTargetRef: {name: {{ .name }}}
  pollingInterval: {{ int $scaling.pollingSeconds }}
  cooldownPeriod: {{ int $scaling.cooldownSeconds }}
  minReplicaCount: {{ int $scaling.minReplicas }}
  maxReplicaCount: {{ int $scaling.maxReplicas }}
  # While Redis does not answer, nobody is sent away.
  fallback: {failureThreshold: 3, replicas: {{ max 1 (int $scaling.minReplicas) }}, behavior: currentReplicasIfHigher}
  advanced:
    scalingModifiers:
      formula: {{ join " + " $terms | quote }}
      target: {{ int $scaling.jobsPerReplica | default (int .config.threads) | quote }}
      metricType: AverageValue
    horizontalPodAutoscalerConfig:
      behavior:
        scaleUp:
          tolerance: "0"    # 33 jobs for 32 threads are a second pod
          stabilizationWindowSeconds: 0
          policies:
            - {type: Percent, value: 100, periodSeconds: 15}
            - {type: Pods, value: 4, periodSeconds: 15}
        scaleDown:
          stabilizationWindowSeconds: {{ int $scaling.scaleDownSeconds }}
          policies:
            - {type: Percent, value: 25, periodSeconds: 60}
            - {type: Pods, value: 1, periodSeconds: 60}
  triggers:
    {{- range $n, $queue := .config.queues }}
    {{- range $trigger, $key := dict "p" "rqube:paused:" "q" "rq:queue:" "r" "rq:wip:" }}
    - type: redis
      name: {{ $trigger }}_{{ $n }}
      metadata:
        listName: {{ print $key $queue | quote }}
        listLength: "1"
        databaseIndex: {{ int $redis.database | quote }}
        enableTLS: {{ $redis.tls | quote }}
      authenticationRef: {name: {{ include "rqube.fullname" $.root }}-redis}
    {{- end }}
    {{- end }}
{{- end }}
