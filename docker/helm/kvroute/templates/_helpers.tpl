{{/* SPDX-License-Identifier: Apache-2.0 */}}
{{- define "kvroute.name" -}}
{{- if contains "kvroute" .Release.Name }}{{ .Release.Name | trunc 40 | trimSuffix "-" }}{{ else }}{{ printf "%s-kvroute" .Release.Name | trunc 40 | trimSuffix "-" }}{{ end }}
{{- end }}

{{/* Labels by which a part's pods are found: (list . "router") */}}
{{- define "kvroute.select" -}}
app.kubernetes.io/name: kvroute
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "kvroute.labels" -}}
{{ include "kvroute.select" . }}
app.kubernetes.io/version: {{ (index . 0).Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ (index . 0).Release.Service }}
helm.sh/chart: {{ printf "%s-%s" (index . 0).Chart.Name (index . 0).Chart.Version }}
{{- end }}

{{/* Of pods that ask the Kubernetes API for nothing. */}}
{{- define "kvroute.account" -}}
serviceAccountName: {{ include "kvroute.name" . }}
automountServiceAccountToken: false
{{- end }}

{{/* Of routers and the bridge, which look for engines there if they are told to. */}}
{{- define "kvroute.looker" -}}
{{- if .Values.discover.sources -}}
serviceAccountName: {{ include "kvroute.name" . }}-discovery
automountServiceAccountToken: true
{{- else -}}
{{ include "kvroute.account" . }}
{{- end }}
{{- end }}

{{/* The flags of router and bridge for that. A source is known by its first word: where a selector says which slices, the name
stands there. */}}
{{- define "kvroute.discover" -}}
{{- range $s := .Values.discover.sources }}
{{- if eq (empty $s.service) (empty $s.selector) }}
{{- fail (printf "discover.sources, %s: either a service or a selector" $s.name) }}
{{- end }}
{{- $flag := printf "--discover=kubernetes://%s%s" (ternary "" (printf "%s/" $s.namespace) (empty $s.namespace)) (default $s.name $s.service) }}
{{- with $s.selector }}{{ $flag = printf "%s selector=%s" $flag . }}{{ end }}
{{- with $s.port }}{{ $flag = printf "%s port=%v" $flag . }}{{ end }}
{{- with $s.words }}{{ $flag = printf "%s %s" $flag . }}{{ end }}
- {{ $flag | quote }}
{{- end }}
{{- end }}

{{/* Not empty: there is a bridge for engines that the chart doesn't start. */}}
{{- define "kvroute.bridged" -}}
{{- if or .Values.bridge.engines (and .Values.discover.bridge .Values.discover.sources) }}yes{{ end }}
{{- end }}

{{- define "kvroute.pod" -}}
# Services named like programs would become variables that these read: VLLM_PORT.
enableServiceLinks: false
{{- with .Values.images.pullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "kvroute.confined" -}}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{- define "kvroute.user" -}}
securityContext:
  runAsNonRoot: true
  runAsUser: {{ . }}
  runAsGroup: {{ . }}
  fsGroup: {{ . }}
  seccompProfile: {type: RuntimeDefault}
{{- end }}

{{/* On nodes apart where that can be: (list . "router") */}}
{{- define "kvroute.spread" -}}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- include "kvroute.select" . | nindent 8 }}
{{- end }}

{{- define "kvroute.image" -}}
{{ printf "%s:%s" .repository .tag }}
{{- end }}

{{- define "kvroute.url" -}}
{{- if .Values.redis.enabled -}}
{{- $sentinels := list }}
{{- range $i := until (int .Values.redis.sentinels) }}{{ $sentinels = append $sentinels (printf "%s-sentinel-%d" (include "kvroute.name" $) $i) }}{{ end -}}
sentinel://{{ join "," $sentinels }}/main{{ if .Values.redis.existingSecret }}?password=$(KVROUTE_PASSWORD){{ end }}
{{- else -}}
{{ required "redis.url must say where Redis is, since redis.enabled is false" .Values.redis.url }}
{{- end -}}
{{- end }}

{{- define "kvroute.password" -}}
{{- with .Values.redis.existingSecret }}
- name: KVROUTE_PASSWORD
  valueFrom: {secretKeyRef: {name: {{ . }}, key: password}}
{{- end }}
{{- end }}

{{/* (list . component): nobody may take more than one away at a time */}}
{{- define "kvroute.budget" -}}
{{- if (index . 0).Values.podDisruptionBudget.enabled }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ include "kvroute.name" (index . 0) }}-{{ index . 1 }}
  labels: {{- include "kvroute.labels" . | nindent 4 }}
spec:
  maxUnavailable: 1
  selector:
    matchLabels: {{- include "kvroute.select" . | nindent 6 }}
{{- end }}
{{- end }}
