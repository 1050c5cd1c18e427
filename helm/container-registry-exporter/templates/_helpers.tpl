{{- define "exporter.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* 52 characters leave room for the suffixes of the objects that are named after it. */}}
{{- define "exporter.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains (include "exporter.name" .) .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "exporter.name" .) | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "exporter.workloadKind" -}}
{{- ternary "StatefulSet" "Deployment" (gt (int .Values.shards) 1) -}}
{{- end -}}

{{- define "exporter.shardsService" -}}
{{- include "exporter.fullname" . }}-shards
{{- end -}}

{{/* The exporter's configuration, with the number of shards: a change of it takes effect without new pods. */}}
{{- define "exporter.config" -}}
{{- if .Values.config.shards -}}
{{- fail "set `shards`, not `config.shards`: the number of pods follows from it" -}}
{{- end -}}
{{- if gt (int .Values.shards) 1 -}}
{{- toYaml (merge (dict "shards" .Values.shards) .Values.config) -}}
{{- else -}}
{{- toYaml .Values.config -}}
{{- end -}}
{{- end -}}

{{/* What the volume of the state asks for. */}}
{{- define "exporter.claim" -}}
accessModes:
  {{- toYaml .Values.storage.accessModes | nindent 2 }}
{{- with .Values.storage.storageClassName }}
storageClassName: {{ . }}
{{- end }}
resources:
  requests:
    storage: {{ .Values.storage.size }}
{{- end -}}

{{- define "exporter.selectorLabels" -}}
app.kubernetes.io/name: {{ include "exporter.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "exporter.labels" -}}
{{ include "exporter.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/component: exporter
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end -}}

{{/* Of objects that have no namespace of the release's own: two releases of one name must not share them. */}}
{{- define "exporter.clusterWideName" -}}
{{- printf "%s-%s" .Release.Namespace (include "exporter.fullname" .) | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "exporter.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "exporter.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "exporter.image" -}}
{{- $registry := (.Values.global).imageRegistry -}}
{{- $repository := .Values.image.repository -}}
{{- if $registry -}}
{{- $repository = printf "%s/%s" $registry (regexReplaceAll "^[^/]*[.:][^/]*/" $repository "") -}}
{{- end -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" $repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "exporter.pullSecrets" -}}
{{- $secrets := concat .Values.image.pullSecrets ((.Values.global).imagePullSecrets | default list) -}}
{{- with $secrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ if kindIs "string" . }}{{ . }}{{ else }}{{ .name }}{{ end }}
  {{- end }}
{{- end }}
{{- end -}}

{{- define "exporter.scheme" -}}
{{- ternary "https" "http" (and (ne .Values.webConfig.secret "") .Values.webConfig.tls) -}}
{{- end -}}

{{/* The kubelet can neither log in nor show a certificate: then probes have a port of their own. */}}
{{- define "exporter.healthPort" -}}
{{- if and .Values.webConfig.secret .Values.webConfig.auth -}}health{{- else -}}http-metrics{{- end -}}
{{- end -}}

{{- define "exporter.probe" -}}
{{- $port := include "exporter.healthPort" .root -}}
{{- $scheme := ternary "HTTP" (include "exporter.scheme" .root | upper) (eq $port "health") -}}
{{- $probe := dict -}}
{{- if not (or .own.tcpSocket .own.exec .own.grpc) -}}
{{- $probe = dict "httpGet" (dict "path" .path "port" $port "scheme" $scheme) -}}
{{- end -}}
{{- toYaml (mergeOverwrite $probe .own) -}}
{{- end -}}

{{/* Milliseconds of a duration such as 1m30s. */}}
{{- define "exporter.milliseconds" -}}
{{- $sum := 0 -}}
{{- $units := dict "ms" 1 "s" 1000 "m" 60000 "h" 3600000 "d" 86400000 "w" 604800000 "y" 31536000000 -}}
{{- range regexFindAll "[0-9]+(ms|[smhdwy])" . -1 -}}
{{- $number := regexFind "^[0-9]+" . -}}
{{- $sum = add $sum (mul (atoi $number) (get $units (trimPrefix $number .))) -}}
{{- end -}}
{{- $sum -}}
{{- end -}}

{{/*
The operator skips, in silence, an object whose scrapeTimeout is longer than its interval: the default follows the
interval, and a longer one is refused.
*/}}
{{- define "exporter.scrapeTimeout" -}}
{{- if .interval -}}
{{- $interval := include "exporter.milliseconds" .interval | int64 -}}
{{- if .scrapeTimeout -}}
{{- if gt (include "exporter.milliseconds" .scrapeTimeout | int64) $interval -}}
{{- fail (printf "serviceMonitor.scrapeTimeout (%s) is longer than serviceMonitor.interval (%s): the operator would skip the object" .scrapeTimeout .interval) -}}
{{- end -}}
{{- .scrapeTimeout -}}
{{- else -}}
{{- ternary .interval "30s" (lt $interval 30000) -}}
{{- end -}}
{{- else -}}
{{- .scrapeTimeout -}}
{{- end -}}
{{- end -}}

{{/* What is scraped and how, for each kind of monitor; the kinds differ in the names of the relabelings. */}}
{{- define "exporter.endpoint" -}}
{{- $ := .root -}}
{{- with $.Values.serviceMonitor -}}
port: http-metrics
path: {{ $.Values.telemetryPath }}
scheme: {{ include "exporter.scheme" $ }}
{{- with .interval }}
interval: {{ . }}
{{- end }}
{{- with include "exporter.scrapeTimeout" . }}
scrapeTimeout: {{ . }}
{{- end }}
honorLabels: {{ .honorLabels }}
{{- range $name := list "tlsConfig" "basicAuth" "authorization" "oauth2" }}
{{- with get $.Values.serviceMonitor $name }}
{{ $name }}:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- end }}
{{ .relabelings }}:
  {{- include "exporter.relabelings" $ | nindent 2 }}
{{- with $.Values.serviceMonitor.metricRelabelings }}
{{ $.Values.serviceMonitor.kind | hasPrefix "VM" | ternary "metricRelabelConfigs" "metricRelabelings" }}:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "exporter.relabelings" -}}
{{- with .Values.serviceMonitor -}}
- action: replace
  targetLabel: job
  replacement: {{ .jobName }}
{{- if .stableInstance }}
{{- if eq (int $.Values.shards) 1 }}
- action: replace
  targetLabel: instance
  replacement: {{ include "exporter.fullname" $ }}
{{- else if ne .kind "ScrapeConfig" }}
- action: replace
  sourceLabels: [__meta_kubernetes_pod_name]
  targetLabel: instance
{{- end }}
- action: labeldrop
  regex: pod
{{- end }}
{{- with .relabelings }}
{{ toYaml . }}
{{- end }}
{{- end }}
{{- end -}}
