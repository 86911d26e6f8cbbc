{{/*
The pods of a component are described by `pods`, overlaid with the component's own keys; those of a pool by `pods`,
`workers.defaults` and the pool. Each of these gives the result as YAML.
*/}}
{{- define "rqube.componentConfig" -}}
{{- mergeOverwrite (deepCopy .root.Values.pods) (deepCopy (get .root.Values .key)) | toYaml -}}
{{- end }}

{{/* All pools by name. */}}
{{- define "rqube.pools" -}}
{{- $pools := dict -}}
{{- range $name, $pool := .Values.workers.pools -}}
{{- $layers := list (deepCopy $.Values.workers.defaults) (deepCopy $pool) -}}
{{- $_ := set $pools $name (mergeOverwrite (deepCopy $.Values.pods) (first $layers) (last $layers)) -}}
{{- end -}}
{{- $pools | toYaml -}}
{{- end }}

{{/*
A worker gets 10 s beyond its longest job to drain, and leaves by itself; Kubernetes kills it 20 s later. So neither a
job within its time limit nor the handing back of one that is not is cut off.
*/}}
{{- define "rqube.graceSeconds" -}}
{{- add (int .longestJobSeconds) 10 -}}
{{- end }}
{{- define "rqube.terminationGracePeriodSeconds" -}}
{{- add (int .longestJobSeconds) 30 -}}
{{- end }}

{{- define "rqube.containerSecurity" -}}
allowPrivilegeEscalation: false
capabilities: {drop: [ALL]}
readOnlyRootFilesystem: true
{{- end }}

{{/* Takes the user and group, which may be empty. */}}
{{- define "rqube.podSecurity" -}}
runAsNonRoot: true
{{- with . }}
runAsUser: {{ int64 . }}
runAsGroup: {{ int64 . }}
{{- end }}
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{/*
A pod template. Takes root, component, service (whose image), config, args, stores (of `postgres` and `redis`, those
that it needs), and optionally pool, env (by name), container (further keys of it), graceSeconds, restartPolicy and
isSpread.
*/}}
{{- define "rqube.podTemplate" -}}
{{- $root := .root -}}
{{- $config := .config -}}
metadata:
  labels: {{- include "rqube.labels" (dict "root" $root "component" .component "pool" .pool "extra" $config.podLabels) | nindent 4 }}
  annotations:
    {{- $ours := dict "checksum/settings" (include "rqube.settings" $root | sha256sum) }}
    {{- if .stores }}
    {{- $_ := set $ours "rqube.io/secret-revision" (toString $root.Values.secretRevision) }}
    {{- end }}
    {{- mergeOverwrite (deepCopy $config.podAnnotations) $ours | toYaml | nindent 4 }}
spec:
  serviceAccountName: {{ include "rqube.serviceAccountName" $root }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  {{- /* The first process of a container hears no signal before it has a handler: told to stop while it starts, it would
         work on until it is killed at the end of its grace period. Here the pod's own process is the first. */}}
  shareProcessNamespace: true
  securityContext: {{- include "rqube.podSecurity" $config.runAsUser | nindent 4 }}
  {{- with $root.Values.global.imagePullSecrets }}
  imagePullSecrets:
    {{- range . }}
    - name: {{ . | quote }}
    {{- end }}
  {{- end }}
  {{- with .graceSeconds }}
  terminationGracePeriodSeconds: {{ . }}
  {{- end }}
  {{- with .restartPolicy }}
  restartPolicy: {{ . }}
  {{- end }}
  {{- range $key := list "affinity" "nodeSelector" "priorityClassName" "tolerations" "initContainers" }}
  {{- with get $config $key }}
  {{ $key }}: {{- kindIs "string" . | ternary (print " " (quote .)) (toYaml . | nindent 4) }}
  {{- end }}
  {{- end }}
  {{- if and .isSpread $config.topologyKeys }}
  topologySpreadConstraints:
    {{- $selector := include "rqube.selector" . }}
    {{- range $config.topologyKeys }}
    - maxSkew: 1
      topologyKey: {{ . }}
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels: {{- $selector | nindent 10 }}
    {{- end }}
  {{- end }}
  containers:
    - name: {{ .component }}
      image: {{ include "rqube.image" (dict "root" $root "service" .service "image" $config.image) | quote }}
      imagePullPolicy: {{ $root.Values.image.pullPolicy }}
      args: {{- toYaml .args | nindent 8 }}
      envFrom:
        - configMapRef: {name: {{ include "rqube.fullname" $root }}-settings}
      {{- with include "rqube.env" . | trim }}
      env: {{- . | nindent 8 }}
      {{- end }}
      resources: {{- toYaml $config.resources | nindent 8 }}
      securityContext: {{- include "rqube.containerSecurity" $root | nindent 8 }}
      volumeMounts:
        - {name: tmp, mountPath: /tmp}
        {{- if and .stores $root.Values.secretFiles }}
        - {name: secrets, mountPath: {{ include "rqube.secretFolder" . }}, readOnly: true}
        {{- end }}
        {{- with $config.extraVolumeMounts }}{{ toYaml . | nindent 8 }}{{ end }}
      {{- with .container }}{{ toYaml . | nindent 6 }}{{ end }}
    {{- with $config.sidecars }}{{ toYaml . | nindent 4 }}{{ end }}
  volumes:
    - name: tmp
      emptyDir: {sizeLimit: {{ $config.tmpSize }}}
    {{- if and .stores $root.Values.secretFiles }}
    - name: secrets
      projected: {{- include "rqube.secretVolume" . | nindent 8 }}
    {{- end }}
    {{- with $config.extraVolumes }}{{ toYaml . | nindent 4 }}{{ end }}
{{- end }}

{{/* The variables of a container as a list, each name once: the user's replace ours. Takes what a pod template does. */}}
{{- define "rqube.env" -}}
{{- $env := .env | default dict | deepCopy }}
{{- range $store := .stores }}
{{- $name := printf "RQUBE_%s_URL" (upper $store) }}
{{- if $.root.Values.secretFiles }}
{{- $_ := set $env (print $name "_FILE") (printf "%s/%s" (include "rqube.secretFolder" $) $store) }}
{{- else }}
{{- $_ := set $env $name (include "rqube.urlSource" (dict "root" $.root "store" $store) | fromYaml) }}
{{- end }}
{{- end }}
{{- range $name, $value := mergeOverwrite $env (deepCopy .config.extraEnv) }}
- name: {{ $name }}
  {{- if kindIs "map" $value }}
  {{- toYaml $value | nindent 2 }}
  {{- else }}
  value: {{ toString $value | quote }}
  {{- end }}
{{- end }}
{{- end }}
