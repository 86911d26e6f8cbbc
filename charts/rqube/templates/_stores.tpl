{{/* Where pods find the URLs of Postgres and Redis. The chart makes a Secret for the throw-away ones only. */}}

{{- define "rqube.secretFolder" -}}/etc/rqube/secrets{{- end }}

{{/* The Secret and the key of a server's URL. Takes root and store. */}}
{{- define "rqube.urlKeyRef" -}}
{{- $values := get .root.Values .store -}}
{{- if .root.Values.dev.enabled -}}
name: {{ include "rqube.fullname" .root }}-dev
key: {{ .store }}-url
{{- else -}}
name: {{ $values.existingSecret | quote }}
key: {{ $values.urlKey | quote }}
{{- end }}
{{- end }}

{{- define "rqube.urlSource" -}}
valueFrom:
  secretKeyRef: {{- include "rqube.urlKeyRef" . | nindent 4 }}
{{- end }}

{{/* The URLs as files, named after their servers. Takes root and stores. */}}
{{- define "rqube.secretVolume" -}}
sources:
  {{- range $store := .stores }}
  {{- $ref := include "rqube.urlKeyRef" (dict "root" $.root "store" $store) | fromYaml }}
  - secret:
      name: {{ $ref.name | quote }}
      items: [{key: {{ $ref.key | quote }}, path: {{ $store }}}]
  {{- end }}
{{- end }}

{{/* The throw-away servers' Secret; the password is no secret, which its name says. */}}
{{- define "rqube.devSecret" -}}
{{- $name := include "rqube.fullname" . -}}
{{- $password := "public-dev-password" -}}
postgres-url: "postgresql://rqube:{{ $password }}@{{ $name }}-postgres:5432/rqube"
redis-url: "redis://:{{ $password }}@{{ $name }}-redis:6379/0"
redis-host: "{{ $name }}-redis.{{ .Release.Namespace }}"
redis-port: "6379"
password: {{ $password }}
{{- end }}

{{/* What KEDA reads from which key of Redis' Secret. */}}
{{- define "rqube.kedaParameters" -}}
{{- if .Values.dev.enabled -}}
host: redis-host
port: redis-port
password: password
{{- else -}}
host: {{ .Values.redis.hostKey | quote }}
port: {{ .Values.redis.portKey | quote }}
username: {{ .Values.redis.usernameKey | quote }}
password: {{ .Values.redis.passwordKey | quote }}
{{- end }}
{{- end }}
