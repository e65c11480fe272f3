{{/* Parts beside serving that have a service account of their own, as YAML. */}}
{{- define "higr.accounts" -}}
{{- $values := .Values -}}
{{- $parts := list -}}
{{- if or $values.features.materialise.enabled $values.features.push.enabled -}}
{{- $parts = append $parts "features" -}}
{{- end -}}
{{- range $part, $on := dict "drift" $values.drift.enabled "drift-exporter" $values.drift.enabled "outcomes" $values.outcomes.enabled "redis" $values.redis.enabled "pushgateway" $values.pushgateway.enabled "rollout" $values.rollout.enabled -}}
{{- if $on -}}
{{- $parts = append $parts $part -}}
{{- end -}}
{{- end -}}
{{- toYaml (sortAlpha $parts) -}}
{{- end -}}

{{/* RoleBinding of a Role to the service account of the same name: (list $ NAME). */}}
{{- define "higr.roleBinding" }}
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  {{- include "higr.metadata" . | nindent 2 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: {{ index . 1 }}
subjects:
  - kind: ServiceAccount
    name: {{ index . 1 }}
    namespace: {{ (index . 0).Release.Namespace }}
{{- end -}}
