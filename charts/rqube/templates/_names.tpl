{{/* Begins the name of every object; short enough for `-worker-<pool>` and what controllers append. */}}
{{- define "rqube.fullname" -}}
{{- $name := contains "rqube" .Release.Name | ternary .Release.Name (printf "%s-rqube" .Release.Name) -}}
{{- .Values.fullnameOverride | default $name | trunc 32 | trimSuffix "-" -}}
{{- end }}

{{/* What pods are found by; never changes for an object. Takes root, component and, for workers, pool. */}}
{{- define "rqube.selector" -}}
app.kubernetes.io/name: rqube
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .component }}
{{- with .pool }}
rqube.io/pool: {{ . | quote }}
{{- end }}
{{- end }}

{{/* Labels of an object, or of a pod with its `extra` ones; ours win. Takes root, and optionally component and pool. */}}
{{- define "rqube.labels" -}}
{{- $ours := dict
    "app.kubernetes.io/name" "rqube"
    "app.kubernetes.io/instance" .root.Release.Name
    "app.kubernetes.io/version" .root.Chart.AppVersion
    "app.kubernetes.io/managed-by" .root.Release.Service -}}
{{- with .component }}{{ $_ := set $ours "app.kubernetes.io/component" . }}{{ end -}}
{{- with .pool }}{{ $_ := set $ours "rqube.io/pool" . }}{{ end -}}
{{- mergeOverwrite (deepCopy .root.Values.global.commonLabels) (deepCopy (.extra | default dict)) $ours | toYaml -}}
{{- end }}

{{- define "rqube.serviceAccountName" -}}
{{- $own := .Values.serviceAccount.create | ternary (include "rqube.fullname" .) "default" -}}
{{- .Values.serviceAccount.name | default $own -}}
{{- end }}

{{/* The image of a service; `image` is a whole reference that wins. Takes root, service and image. */}}
{{- define "rqube.image" -}}
{{- $image := .root.Values.image -}}
{{- $registry := .root.Values.global.imageRegistry | default $image.registry -}}
{{- $name := printf "%s-%s" $image.repositoryPrefix .service -}}
{{- if $registry }}{{ $name = printf "%s/%s" (trimSuffix "/" $registry) $name }}{{ end -}}
{{- $digest := get $image.digests .service -}}
{{- $version := printf ":%s" ($image.tag | default .root.Chart.AppVersion) -}}
{{- if $digest }}{{ $version = printf "@%s" $digest }}{{ end -}}
{{- .image | default (print $name $version) -}}
{{- end }}
