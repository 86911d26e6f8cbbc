{{/* The settings that all pods share, under the names that the services read. */}}
{{- define "rqube.settings" -}}
RQUBE_API_HOST: 0.0.0.0
RQUBE_API_PORT: "8000"
RQUBE_API_URL: http://{{ include "rqube.fullname" . }}-api:{{ int .Values.api.service.port }}
RQUBE_METRICS_HOST: 0.0.0.0
RQUBE_METRICS_PORT: "9100"
{{- range $name, $value := .Values.settings }}
RQUBE_{{ $name | snakecase | upper }}: {{ include "rqube.settingText" $value | quote }}
{{- end }}
{{- end }}

{{/* Lists are joined by commas; a whole number is written without an exponent. */}}
{{- define "rqube.settingText" -}}
{{- if kindIs "slice" . -}}
{{- join "," . -}}
{{- else if and (kindIs "float64" .) (eq (floor .) .) -}}
{{- int64 . -}}
{{- else -}}
{{- . -}}
{{- end -}}
{{- end }}
