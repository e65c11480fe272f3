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

{{/* Name of the role's model in URLs: clients know the transformer's. */}}
{{- define "higr.modelName" -}}
{{- ternary "higr" "higr-predictor" (eq . "transformer") -}}
{{- end -}}

{{/* Host KServe gives the predictor inside the cluster; Standard mode maps port 80 to the container unless headless. */}}
{{- define "higr.predictorHost" -}}
{{- $host := printf "%s-predictor.%s" (include "higr.fullname" .) .Release.Namespace -}}
{{- if and .Values.headlessServices (eq .Values.deploymentMode "Standard") -}}
{{- $host = printf "%s:8080" $host -}}
{{- end -}}
{{- $host -}}
{{- end -}}

{{/* Refuses what a JSON schema cannot see. */}}
{{- define "higr.validate" -}}
{{- range $role := list "transformer" "predictor" -}}
{{- $replicas := (index $.Values $role).replicas -}}
{{- if lt (int $replicas.max) (int $replicas.min) -}}
{{- fail (printf "%s.replicas.max is %d, less than %s.replicas.min, which is %d: raise max or lower min" $role (int $replicas.max) $role (int $replicas.min)) -}}
{{- end -}}
{{- end -}}
{{- if ge (int .Values.monitoring.timeoutSeconds) (int .Values.monitoring.intervalSeconds) -}}
{{- fail (printf "monitoring.timeoutSeconds is %d, not less than monitoring.intervalSeconds, which is %d: a scrape must end before the next" (int .Values.monitoring.timeoutSeconds) (int .Values.monitoring.intervalSeconds)) -}}
{{- end -}}
{{- end -}}
