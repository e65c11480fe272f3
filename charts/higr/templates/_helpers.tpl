{{/* Name of the application. */}}
{{- define "higr.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/*
Name of every object. KServe appends "-transformer" and, in Knative mode, "-transformer-00001-deployment":
40 characters leave room for that.
*/}}
{{- define "higr.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "higr.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "higr.selectorLabels" -}}
app.kubernetes.io/name: {{ include "higr.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "higr.labels" -}}
{{ include "higr.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: higr
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end -}}

{{- define "higr.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "higr.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/*
Image reference of a role: (list root overrides). A digest wins over a tag; the digest of one repository or tag is
never inherited by another.
*/}}
{{- define "higr.image" -}}
{{- $root := index . 0 -}}
{{- $over := index . 1 -}}
{{- $base := $root.Values.image -}}
{{- $repository := default $base.repository $over.repository -}}
{{- $tag := default (default $root.Chart.AppVersion $base.tag) $over.tag -}}
{{- $digest := $over.digest -}}
{{- if not (or $over.repository $over.tag $over.digest) -}}
{{- $digest = $base.digest -}}
{{- end -}}
{{- ternary (printf "%s@%s" $repository $digest) (printf "%s:%s" $repository $tag) (not (empty $digest)) -}}
{{- end -}}

{{/* Name of a part's model in URLs: clients know the transformer's. */}}
{{- define "higr.modelName" -}}
{{- ternary "higr-predictor" "higr" (hasSuffix "predictor" .) -}}
{{- end -}}

{{/*
Host KServe gives the predictor of an InferenceService inside the cluster; Standard mode maps port 80 to the container
unless headless. Where there is no predictor nobody listens: should the switch leave baseline, slates fall back at once.
*/}}
{{- define "higr.predictorHost" -}}
{{- if has .part (list "baseline" "feedback") -}}
127.0.0.1:9
{{- else -}}
{{- $root := .root -}}
{{- $host := printf "%s-predictor.%s" .service $root.Release.Namespace -}}
{{- if and $root.Values.headlessServices (eq $root.Values.deploymentMode "Standard") -}}
{{- $host = printf "%s:8080" $host -}}
{{- end -}}
{{- $host -}}
{{- end -}}
{{- end -}}

{{/* Service that answers clients: KServe's of the transformer, or of what runs in the predictor's place. */}}
{{- define "higr.endpoint" -}}
{{- include "higr.fullname" . }}-{{ ternary "predictor" "transformer" .Values.baselineOnly -}}
{{- end -}}

{{/* What a container may not do. */}}
{{- define "higr.containerSecurity" -}}
allowPrivilegeEscalation: false
capabilities:
  drop: ["ALL"]
readOnlyRootFilesystem: true
runAsNonRoot: true
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{/* metadata of an object: (list $ NAME). */}}
{{- define "higr.metadata" -}}
{{- $root := index . 0 -}}
name: {{ index . 1 }}
namespace: {{ $root.Release.Namespace }}
labels:
  {{- include "higr.labels" $root | nindent 2 }}
{{- end -}}
